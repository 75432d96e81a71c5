-- A release has one row at each node in config_delivery, by its first part, whose result is that of the release. What a node
-- said of single parts is kept here as long as it is not the same of all of them.
CREATE TABLE config_part_ack (
    release_id BIGINT NOT NULL,
    node_id BIGINT NOT NULL,
    part_id BIGINT NOT NULL,
    result BIGINT NOT NULL,
    message TEXT NOT NULL,
    acked BIGINT NOT NULL,
    PRIMARY KEY (release_id, node_id, part_id),
    FOREIGN KEY (release_id, node_id) REFERENCES config_delivery (release_id, node_id) ON DELETE CASCADE
);
CREATE INDEX config_part_ack_node ON config_part_ack (node_id);
CREATE INDEX config_release_origin ON config_release (origin) WHERE origin IS NOT NULL;
CREATE INDEX config_node_profile ON config_node (app_id, profile, id);

-- Nodes of other apps that are shown a shared namespace are no nodes of its releases.
DELETE FROM config_delivery WHERE NOT EXISTS (
    SELECT 1 FROM config_release JOIN config_node
    ON config_node.app_id = config_release.app_id AND config_node.profile = config_release.profile
    WHERE config_release.id = config_delivery.release_id AND config_node.id = config_delivery.node_id);

-- A release that repeats a version has rows of its own at the nodes that hold the version from an earlier one: the nearest that
-- says something.
WITH RECURSIVE handed (id, node_id, source) AS (
    SELECT follower.id, config_delivery.node_id, config_delivery.release_id FROM config_delivery
    JOIN config_release follower ON follower.origin = config_delivery.release_id
    JOIN config_node ON config_node.id = config_delivery.node_id
    WHERE follower.kind = 0 OR strpos(',' || follower.nodes || ',', ',' || config_node.node_id || ',') > 0
    UNION
    SELECT follower.id, handed.node_id, handed.source FROM handed
    JOIN config_release follower ON follower.origin = handed.id
    JOIN config_node ON config_node.id = handed.node_id
    WHERE follower.kind = 0 OR strpos(',' || follower.nodes || ',', ',' || config_node.node_id || ',') > 0
), ranked AS (
    SELECT handed.id, handed.node_id, config_delivery.result, config_delivery.message, config_delivery.acked,
    MIN(sent) OVER (PARTITION BY handed.id, handed.node_id) AS first_sent,
    ROW_NUMBER() OVER (PARTITION BY handed.id, handed.node_id ORDER BY config_delivery.result IS NULL, source DESC) AS place
    FROM handed JOIN config_delivery
    ON config_delivery.release_id = handed.source AND config_delivery.node_id = handed.node_id
)
INSERT INTO config_delivery (release_id, node_id, sent, result, message, acked)
SELECT id, node_id, first_sent, result, message, acked FROM ranked WHERE place = 1
ON CONFLICT (release_id, node_id) DO UPDATE SET
    sent = COALESCE(config_delivery.sent, excluded.sent),
    result = COALESCE(config_delivery.result, excluded.result),
    message = CASE WHEN config_delivery.result IS NULL THEN excluded.message ELSE config_delivery.message END,
    acked = CASE WHEN config_delivery.result IS NULL THEN excluded.acked ELSE config_delivery.acked END;

-- One row for all parts.
INSERT INTO config_delivery (release_id, node_id, sent)
SELECT set_id, node_id, MIN(sent) FROM config_delivery JOIN config_release ON config_release.id = release_id
WHERE set_id IS NOT NULL GROUP BY set_id, node_id
ON CONFLICT (release_id, node_id) DO UPDATE SET
    sent = CASE WHEN excluded.sent < config_delivery.sent THEN excluded.sent
    ELSE COALESCE(config_delivery.sent, excluded.sent) END;
INSERT INTO config_part_ack (release_id, node_id, part_id, result, message, acked)
SELECT COALESCE(set_id, config_release.id), node_id, config_release.id, result, COALESCE(message, ''), acked
FROM config_delivery JOIN config_release ON config_release.id = release_id
WHERE result IS NOT NULL AND acked IS NOT NULL AND (set_id IS NOT NULL
    OR EXISTS (SELECT 1 FROM config_release part WHERE part.set_id = config_release.id));
DELETE FROM config_delivery WHERE release_id IN (SELECT id FROM config_release WHERE set_id IS NOT NULL);
UPDATE config_delivery SET
    result = (SELECT CASE WHEN MAX(CASE WHEN said.result = 2 THEN 1 ELSE 0 END) = 1 THEN 2
        WHEN MAX(CASE WHEN said.result = 3 THEN 1 ELSE 0 END) = 1 THEN 3
        WHEN EXISTS (SELECT 1 FROM config_release part
            WHERE (part.id = config_delivery.release_id OR part.set_id = config_delivery.release_id)
            AND part.state = 0 AND part.version > 0 AND NOT EXISTS (SELECT 1 FROM config_part_ack known
                WHERE known.release_id = config_delivery.release_id AND known.node_id = config_delivery.node_id
                AND known.part_id = part.id)) THEN NULL
        ELSE 1 END
        FROM config_part_ack said
        WHERE said.release_id = config_delivery.release_id AND said.node_id = config_delivery.node_id),
    message = COALESCE((SELECT said.message FROM config_part_ack said
        WHERE said.release_id = config_delivery.release_id AND said.node_id = config_delivery.node_id
        AND said.result <> 1 ORDER BY said.result, said.part_id LIMIT 1), ''),
    acked = (SELECT MAX(said.acked) FROM config_part_ack said
        WHERE said.release_id = config_delivery.release_id AND said.node_id = config_delivery.node_id)
WHERE EXISTS (SELECT 1 FROM config_part_ack said
    WHERE said.release_id = config_delivery.release_id AND said.node_id = config_delivery.node_id);
UPDATE config_delivery SET message = NULL, acked = NULL WHERE result IS NULL AND acked IS NOT NULL;

-- Rows of config_delivery by their results, for each release.
CREATE TABLE config_delivery_count (
    release_id BIGINT NOT NULL PRIMARY KEY REFERENCES config_release (id) ON DELETE CASCADE,
    nodes BIGINT NOT NULL,
    applied BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    failed BIGINT NOT NULL
);
INSERT INTO config_delivery_count (release_id, nodes, applied, rejected, failed)
SELECT release_id, COUNT(*), SUM(CASE WHEN result = 1 THEN 1 ELSE 0 END),
    SUM(CASE WHEN result = 2 THEN 1 ELSE 0 END), SUM(CASE WHEN result = 3 THEN 1 ELSE 0 END)
FROM config_delivery GROUP BY release_id;
-- Once for each statement, however many rows it writes; by release, so that two servers meet the rows in one order.
CREATE FUNCTION config_delivery_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO config_delivery_count AS known (release_id, nodes, applied, rejected, failed)
    SELECT release_id, COUNT(*), COUNT(*) FILTER (WHERE result = 1), COUNT(*) FILTER (WHERE result = 2),
        COUNT(*) FILTER (WHERE result = 3)
    FROM added GROUP BY release_id ORDER BY release_id
    ON CONFLICT (release_id) DO UPDATE SET nodes = known.nodes + excluded.nodes,
        applied = known.applied + excluded.applied, rejected = known.rejected + excluded.rejected,
        failed = known.failed + excluded.failed;
    RETURN NULL;
END
$$;
CREATE FUNCTION config_delivery_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO config_delivery_count AS known (release_id, nodes, applied, rejected, failed)
    SELECT * FROM (
        SELECT release_id, 0, SUM(CASE WHEN result = 1 THEN sign ELSE 0 END) AS applied,
            SUM(CASE WHEN result = 2 THEN sign ELSE 0 END) AS rejected,
            SUM(CASE WHEN result = 3 THEN sign ELSE 0 END) AS failed
        FROM (SELECT release_id, result, 1 AS sign FROM after_change
            UNION ALL SELECT release_id, result, -1 FROM before_change) signed
        GROUP BY release_id) change
    WHERE applied <> 0 OR rejected <> 0 OR failed <> 0 ORDER BY release_id
    ON CONFLICT (release_id) DO UPDATE SET applied = known.applied + excluded.applied,
        rejected = known.rejected + excluded.rejected, failed = known.failed + excluded.failed;
    RETURN NULL;
END
$$;
CREATE FUNCTION config_delivery_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE config_delivery_count SET nodes = config_delivery_count.nodes - gone.nodes,
        applied = config_delivery_count.applied - gone.applied,
        rejected = config_delivery_count.rejected - gone.rejected,
        failed = config_delivery_count.failed - gone.failed
    FROM (SELECT release_id, COUNT(*) AS nodes, COUNT(*) FILTER (WHERE result = 1) AS applied,
        COUNT(*) FILTER (WHERE result = 2) AS rejected, COUNT(*) FILTER (WHERE result = 3) AS failed
        FROM removed GROUP BY release_id) gone
    WHERE config_delivery_count.release_id = gone.release_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER config_delivery_added AFTER INSERT ON config_delivery REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION config_delivery_added();
CREATE TRIGGER config_delivery_changed AFTER UPDATE ON config_delivery
REFERENCING OLD TABLE AS before_change NEW TABLE AS after_change
FOR EACH STATEMENT EXECUTE FUNCTION config_delivery_changed();
CREATE TRIGGER config_delivery_removed AFTER DELETE ON config_delivery REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION config_delivery_removed();
