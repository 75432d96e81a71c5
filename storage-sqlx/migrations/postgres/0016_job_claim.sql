-- Whether `due` is the end of a lease; else the job waits for its next attempt.
ALTER TABLE job ADD COLUMN is_claimed BOOLEAN NOT NULL DEFAULT FALSE;
