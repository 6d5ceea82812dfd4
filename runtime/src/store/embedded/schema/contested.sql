-- When another process with a node's id was turned away.
ALTER TABLE nodes ADD COLUMN contested_at INTEGER;
