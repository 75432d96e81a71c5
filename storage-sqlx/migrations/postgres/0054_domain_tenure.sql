-- Times in which customers held domains that they have released, in unix seconds. Lines of these times stay theirs.
CREATE TABLE domain_tenure (
    cdn_id BIGINT NOT NULL REFERENCES cdn (id),
    name TEXT NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    domain_id BIGINT NOT NULL REFERENCES domain (id),
    account_id BIGINT NOT NULL,
    PRIMARY KEY (cdn_id, name, since)
);
CREATE INDEX domain_tenure_account ON domain_tenure (account_id, until);
