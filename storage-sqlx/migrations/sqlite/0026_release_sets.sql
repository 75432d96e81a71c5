-- A release of several items has a row for each; the first names it, and `set_id` of the others is that one. A version of 0
-- takes the key from the nodes. The title stands in the first row.
ALTER TABLE config_release ADD COLUMN set_id BIGINT;
ALTER TABLE config_release ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE config_release ADD COLUMN change_set_id BIGINT;
CREATE INDEX config_release_set ON config_release (set_id) WHERE set_id IS NOT NULL;
