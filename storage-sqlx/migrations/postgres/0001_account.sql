CREATE TABLE account (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    mail TEXT NOT NULL,
    mail_key TEXT NOT NULL UNIQUE,
    department TEXT NOT NULL,
    permission_bits BIGINT NOT NULL,
    password TEXT,
    version BIGINT NOT NULL
);

CREATE TABLE token (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    scope BIGINT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    last_used BIGINT,
    address TEXT
);
CREATE INDEX token_account ON token (account_id);
CREATE INDEX token_expires ON token (expires);

CREATE TABLE login_failure (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX login_failure_address ON login_failure (address, at);
CREATE INDEX login_failure_name ON login_failure (name, at);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor BIGINT,
    actor_name TEXT NOT NULL,
    address TEXT,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    old_digest TEXT,
    new_digest TEXT,
    count BIGINT NOT NULL
);
