-- What customers want to be told of their domains: bandwidth in bits per second, shares in millionths.
CREATE TABLE threshold (
    account_id BIGINT NOT NULL REFERENCES customer (account_id) ON DELETE CASCADE,
    domain TEXT NOT NULL,
    bandwidth BIGINT,
    error_ratio BIGINT,
    hit_ratio BIGINT,
    min_requests BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    PRIMARY KEY (account_id, domain)
) WITHOUT ROWID;

-- One row per alarm from begin to end. Of a domain cdn and edge are empty, of an edge account_id is 0 and domain is empty.
CREATE TABLE alarm (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    cdn TEXT NOT NULL,
    edge TEXT NOT NULL,
    threshold BIGINT,
    worst BIGINT,
    reason TEXT NOT NULL,
    begun BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    ended BIGINT
);
CREATE UNIQUE INDEX alarm_open ON alarm (kind, account_id, domain, cdn, edge) WHERE ended IS NULL;
CREATE INDEX alarm_subject ON alarm (account_id, domain, cdn, edge, kind, last_seen);
CREATE INDEX alarm_customer ON alarm (account_id, id);
CREATE INDEX alarm_ended ON alarm (ended);

-- The server that looks for alarms.
CREATE TABLE alarm_leader (
    id BIGINT NOT NULL PRIMARY KEY,
    leader TEXT NOT NULL,
    until BIGINT NOT NULL
);
