CREATE TABLE traffic_open (
    domain_id BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    flux BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    hits BIGINT NOT NULL,
    class_2 BIGINT NOT NULL,
    class_3 BIGINT NOT NULL,
    class_4 BIGINT NOT NULL,
    class_5 BIGINT NOT NULL,
    PRIMARY KEY (domain_id, bucket)
);
CREATE INDEX traffic_open_bucket ON traffic_open (bucket, domain_id);

CREATE TABLE traffic_block (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id BIGINT NOT NULL,
    part BIGINT NOT NULL,
    day BIGINT NOT NULL,
    kept_from BIGINT NOT NULL,
    data BYTEA NOT NULL,
    UNIQUE (domain_id, part, day)
);
CREATE INDEX traffic_block_kept_from ON traffic_block (part, kept_from);

CREATE TABLE city (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    geoname_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    name_cn TEXT NOT NULL
);
CREATE UNIQUE INDEX city_number ON city (geoname_id) WHERE geoname_id <> 0;
CREATE UNIQUE INDEX city_name ON city (name, name_cn) WHERE geoname_id = 0;

CREATE TABLE city_open (
    domain_id BIGINT NOT NULL,
    bucket BIGINT NOT NULL,
    city_id BIGINT NOT NULL,
    flux BIGINT NOT NULL,
    PRIMARY KEY (domain_id, bucket, city_id)
);

CREATE TABLE log_source (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cdn_id BIGINT NOT NULL REFERENCES cdn (id),
    edge TEXT NOT NULL,
    source_key BYTEA NOT NULL,
    length BIGINT NOT NULL,
    state BYTEA NOT NULL,
    lines BIGINT NOT NULL,
    billed BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    unreadable BIGINT NOT NULL,
    unregistered BIGINT NOT NULL,
    purges BIGINT NOT NULL,
    recorded BIGINT NOT NULL
);
CREATE INDEX log_source_key ON log_source (cdn_id, edge, source_key);
CREATE INDEX log_source_recorded ON log_source (recorded);

CREATE TABLE log_chunk (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    kept_from BIGINT NOT NULL,
    sealed BOOLEAN NOT NULL,
    file TEXT NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    lines BIGINT NOT NULL,
    raw_length BIGINT NOT NULL
);
CREATE INDEX log_chunk_domain ON log_chunk (domain_id, day);
CREATE INDEX log_chunk_kept_from ON log_chunk (kept_from);
CREATE INDEX log_chunk_pack ON log_chunk (file, start) WHERE NOT sealed;
CREATE INDEX log_chunk_unsealed ON log_chunk (day, domain_id) WHERE NOT sealed;
