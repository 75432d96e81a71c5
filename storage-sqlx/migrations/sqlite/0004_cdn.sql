CREATE TABLE cdn (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE customer (
    account_id BIGINT PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    password TEXT NOT NULL,
    operations BOOLEAN NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE customer_cdn (
    account_id BIGINT NOT NULL REFERENCES customer (account_id) ON DELETE CASCADE,
    cdn_id BIGINT NOT NULL REFERENCES cdn (id),
    PRIMARY KEY (account_id, cdn_id)
);

-- An id for ever: what is recorded by it, such as traffic, outlives the holding and even the account.
CREATE TABLE domain (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id BIGINT NOT NULL,
    cdn_id BIGINT NOT NULL REFERENCES cdn (id),
    name TEXT NOT NULL,
    UNIQUE (account_id, cdn_id, name)
);

-- Who holds a domain now: one customer at a time, which this primary key enforces.
CREATE TABLE domain_holder (
    cdn_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    domain_id BIGINT NOT NULL UNIQUE REFERENCES domain (id),
    account_id BIGINT NOT NULL REFERENCES customer (account_id) ON DELETE CASCADE,
    state BIGINT NOT NULL,
    PRIMARY KEY (cdn_id, name)
);
CREATE INDEX domain_holder_account ON domain_holder (account_id);

CREATE TABLE company (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    alias TEXT NOT NULL,
    owner_id BIGINT REFERENCES account (id) ON DELETE SET NULL
);
CREATE INDEX company_owner ON company (owner_id);
