-- API tokens: their name, and what they open of what their owner may. NULL in apps or profiles is all of them.
ALTER TABLE token ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE token ADD COLUMN group_bits BIGINT NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN apps TEXT;
ALTER TABLE token ADD COLUMN profiles TEXT;
ALTER TABLE token ADD COLUMN opens_cdn BOOLEAN NOT NULL DEFAULT FALSE;

ALTER TABLE account ADD COLUMN is_disabled BOOLEAN NOT NULL DEFAULT FALSE;
