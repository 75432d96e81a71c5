CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL UNIQUE,
    kind BIGINT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    cdn TEXT NOT NULL,
    -- Joined by bars, which no URL holds.
    urls TEXT NOT NULL,
    created BIGINT NOT NULL,
    state BIGINT NOT NULL,
    percent BIGINT NOT NULL,
    reason TEXT NOT NULL,
    due BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    failures BIGINT NOT NULL
);
CREATE INDEX job_account ON job (account_id, kind, id);
CREATE INDEX job_due ON job (due, id) WHERE state = 0;

-- A line of cells per stretch of URLs that stand alike.
CREATE TABLE job_progress (
    job_id BIGINT NOT NULL REFERENCES job (id) ON DELETE CASCADE,
    edge TEXT NOT NULL,
    cells TEXT NOT NULL,
    PRIMARY KEY (job_id, edge)
);
