-- Rows of Postgres lie in a heap, and an index that has the result would be written with each acknowledgement, so they stay.
-- Where an app is deleted, its releases may be gone before the records of its nodes are: counts of such are left to go too.
CREATE OR REPLACE FUNCTION config_delivery_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE config_delivery_count SET nodes = config_delivery_count.nodes - gone.nodes,
        applied = config_delivery_count.applied - gone.applied,
        rejected = config_delivery_count.rejected - gone.rejected,
        failed = config_delivery_count.failed - gone.failed
    FROM (SELECT release_id, COUNT(*) AS nodes, COUNT(*) FILTER (WHERE result = 1) AS applied,
        COUNT(*) FILTER (WHERE result = 2) AS rejected, COUNT(*) FILTER (WHERE result = 3) AS failed
        FROM removed GROUP BY release_id) gone
    WHERE config_delivery_count.release_id = gone.release_id
        AND EXISTS (SELECT 1 FROM config_release WHERE id = gone.release_id);
    RETURN NULL;
END
$$;
