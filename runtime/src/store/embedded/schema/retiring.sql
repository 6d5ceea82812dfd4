-- Which process a POP is, beside its incarnation: 16 hexadecimal digits.
ALTER TABLE pops ADD COLUMN nonce TEXT NOT NULL DEFAULT '';

-- The incarnation before, which said that it would go and has not gone yet, and its lease.
ALTER TABLE pops ADD COLUMN retiring INTEGER;
ALTER TABLE pops ADD COLUMN retiring_until INTEGER NOT NULL DEFAULT 0;

-- What counts is how many nodes the present incarnation has.
DROP TRIGGER node_added;
DROP TRIGGER node_removed;
CREATE TRIGGER node_added AFTER INSERT ON nodes BEGIN
    UPDATE pops SET node_count = node_count + 1 WHERE id = NEW.pop AND incarnation <= NEW.generation;
END;
CREATE TRIGGER node_renewed AFTER UPDATE OF generation ON nodes BEGIN
    UPDATE pops SET node_count = node_count + 1
    WHERE id = NEW.pop AND incarnation > OLD.generation AND incarnation <= NEW.generation;
END;
CREATE TRIGGER node_removed AFTER DELETE ON nodes BEGIN
    UPDATE pops SET node_count = node_count - 1 WHERE id = OLD.pop AND incarnation <= OLD.generation;
END;
