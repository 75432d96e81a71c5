-- One row. Revisions are counted from 1 in each epoch, so those of now belong to the first. An epoch is at least the
-- number of hours since 2020, unless the clock is wrong by more than a century. `origin` tells the database from a copy of
-- it; only Postgres needs that.
CREATE TABLE store_identity (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    store_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    renewed BIGINT,
    secret_check BLOB,
    origin TEXT
);
INSERT INTO store_identity (id, store_id, epoch)
SELECT 1, lower(hex(randomblob(16))), CASE WHEN hours BETWEEN 1 AND 1048575 THEN hours ELSE 1 END
FROM (SELECT (CAST(strftime('%s', 'now') AS BIGINT) - 1577836800) / 3600 AS hours) AS clock;
ALTER TABLE app ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
UPDATE app SET epoch = (SELECT epoch FROM store_identity);
