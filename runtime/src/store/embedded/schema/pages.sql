-- A page of one POP's nodes is read in their order instead of sorting all of them.
CREATE INDEX nodes_in_order ON nodes (pop, id);
-- What a user transferred long ago goes also if the user transfers nothing any more.
CREATE INDEX traffic_by_age ON traffic (width, start);
