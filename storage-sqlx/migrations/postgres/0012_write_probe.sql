-- One row, rewritten to find out whether the database takes writes.
CREATE TABLE write_probe (id BIGINT PRIMARY KEY, at BIGINT NOT NULL);
