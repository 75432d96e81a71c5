-- Totals of the rows below, by host; the host * counts dropped lines of hosts that have none left.
CREATE TABLE unregistered_host (
    cdn_id BIGINT NOT NULL REFERENCES cdn (id),
    host TEXT NOT NULL,
    lines BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    newest BIGINT NOT NULL,
    PRIMARY KEY (cdn_id, host)
);

-- Lines of hosts that are not registered, kept aside.
CREATE TABLE unregistered_lines (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cdn_id BIGINT NOT NULL,
    host TEXT NOT NULL,
    source_id BIGINT NOT NULL,
    recorded BIGINT NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    day BIGINT NOT NULL,
    kept_from BIGINT NOT NULL,
    sealed BOOLEAN NOT NULL,
    file TEXT NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    raw_length BIGINT NOT NULL,
    is_open BOOLEAN NOT NULL,
    figures BYTEA NOT NULL
);
CREATE INDEX unregistered_lines_host ON unregistered_lines (cdn_id, host, id);
CREATE INDEX unregistered_lines_cdn ON unregistered_lines (cdn_id, id);
CREATE INDEX unregistered_lines_recorded ON unregistered_lines (recorded, id);
CREATE INDEX unregistered_lines_file ON unregistered_lines (file, start);
CREATE INDEX unregistered_lines_source ON unregistered_lines (source_id);

-- What batches of ingested logs added, by domain, so that a log can be forgotten again; the domain 0 counts a batch's lines.
CREATE TABLE log_undo (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    recorded BIGINT NOT NULL,
    options TEXT NOT NULL,
    pack TEXT NOT NULL,
    lines BIGINT NOT NULL,
    counted_later BIGINT NOT NULL,
    figures BYTEA NOT NULL
);
CREATE INDEX log_undo_source ON log_undo (source_id);
CREATE INDEX log_undo_recorded ON log_undo (recorded);
