-- Batches of vendors that have not ended. A row goes when the jobs that wait for it know what became of its items.
CREATE TABLE vendor_batch (
    id TEXT NOT NULL PRIMARY KEY,
    cdn TEXT NOT NULL,
    operation BIGINT NOT NULL,
    -- Zone or distribution of all its hosts; empty before it is cut, and for vendors without.
    host_group TEXT NOT NULL,
    -- 0 waiting, 1 cut, 2 sent, 3 running.
    state BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    due BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    -- A line for each item: failures, percent, URL, task of the vendor.
    items TEXT NOT NULL,
    -- Task ids of the jobs, with bars between.
    jobs TEXT NOT NULL
);
CREATE INDEX vendor_batch_cdn ON vendor_batch (cdn, accepted, id);
