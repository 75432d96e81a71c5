ALTER TABLE job ADD COLUMN stamp BIGINT NOT NULL DEFAULT 0;
CREATE INDEX job_owed ON job (cdn, id) WHERE state = 0 AND kind = 0;

CREATE TABLE edge (
    cdn TEXT NOT NULL,
    name TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    state BIGINT NOT NULL,
    since BIGINT NOT NULL,
    heard BIGINT,
    reason TEXT NOT NULL,
    PRIMARY KEY (cdn, name)
);

-- Who looks after the edges of a cdn.
CREATE TABLE edge_keeper (
    cdn TEXT NOT NULL PRIMARY KEY,
    keeper TEXT NOT NULL,
    until BIGINT NOT NULL
);

-- The last purge of each host.
CREATE TABLE purged_host (
    cdn TEXT NOT NULL,
    host TEXT NOT NULL,
    stamp BIGINT NOT NULL,
    PRIMARY KEY (cdn, host)
);
