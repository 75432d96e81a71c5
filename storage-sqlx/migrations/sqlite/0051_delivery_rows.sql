-- A row lies in the index of its key, so that one search finds it. The index of a node's rows has the result too: what nodes
-- hold of many releases is counted from it alone.
ALTER TABLE config_part_ack RENAME TO earlier_part_ack;
ALTER TABLE config_delivery RENAME TO earlier_delivery;
DROP INDEX config_part_ack_node;
DROP INDEX config_delivery_node;
DROP TRIGGER config_delivery_added;
DROP TRIGGER config_delivery_changed;
DROP TRIGGER config_delivery_removed;
CREATE TABLE config_delivery (
    release_id BIGINT NOT NULL REFERENCES config_release (id) ON DELETE CASCADE,
    node_id BIGINT NOT NULL REFERENCES config_node (id) ON DELETE CASCADE,
    sent BIGINT,
    result BIGINT,
    message TEXT,
    acked BIGINT,
    PRIMARY KEY (release_id, node_id)
) WITHOUT ROWID;
CREATE TABLE config_part_ack (
    release_id BIGINT NOT NULL,
    node_id BIGINT NOT NULL,
    part_id BIGINT NOT NULL,
    result BIGINT NOT NULL,
    message TEXT NOT NULL,
    acked BIGINT NOT NULL,
    PRIMARY KEY (release_id, node_id, part_id),
    FOREIGN KEY (release_id, node_id) REFERENCES config_delivery (release_id, node_id) ON DELETE CASCADE
) WITHOUT ROWID;
INSERT INTO config_delivery (release_id, node_id, sent, result, message, acked)
SELECT release_id, node_id, sent, result, message, acked FROM earlier_delivery ORDER BY release_id, node_id;
INSERT INTO config_part_ack (release_id, node_id, part_id, result, message, acked)
SELECT release_id, node_id, part_id, result, message, acked FROM earlier_part_ack
ORDER BY release_id, node_id, part_id;
DROP TABLE earlier_part_ack;
DROP TABLE earlier_delivery;
CREATE INDEX config_delivery_node ON config_delivery (node_id, release_id, result);
CREATE INDEX config_part_ack_node ON config_part_ack (node_id);
CREATE TRIGGER config_delivery_added AFTER INSERT ON config_delivery
BEGIN
    INSERT INTO config_delivery_count (release_id, nodes, applied, rejected, failed)
    VALUES (NEW.release_id, 1, NEW.result IS 1, NEW.result IS 2, NEW.result IS 3)
    ON CONFLICT (release_id) DO UPDATE SET nodes = nodes + 1, applied = applied + excluded.applied,
    rejected = rejected + excluded.rejected, failed = failed + excluded.failed;
END;
CREATE TRIGGER config_delivery_changed AFTER UPDATE OF result ON config_delivery WHEN NEW.result IS NOT OLD.result
BEGIN
    UPDATE config_delivery_count SET applied = applied + (NEW.result IS 1) - (OLD.result IS 1),
    rejected = rejected + (NEW.result IS 2) - (OLD.result IS 2), failed = failed + (NEW.result IS 3) - (OLD.result IS 3)
    WHERE release_id = NEW.release_id;
END;
CREATE TRIGGER config_delivery_removed AFTER DELETE ON config_delivery
BEGIN
    UPDATE config_delivery_count SET nodes = nodes - 1, applied = applied - (OLD.result IS 1),
    rejected = rejected - (OLD.result IS 2), failed = failed - (OLD.result IS 3)
    WHERE release_id = OLD.release_id;
END;
