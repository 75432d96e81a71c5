-- Bytes of a shipped log that operators gave up.
ALTER TABLE log_source ADD COLUMN skipped BIGINT NOT NULL DEFAULT 0;
