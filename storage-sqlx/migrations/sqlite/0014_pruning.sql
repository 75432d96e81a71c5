-- Rows of each kind that may still be deleted by their age, since the begin of a day.
CREATE TABLE pruning (
    kind BIGINT NOT NULL PRIMARY KEY,
    since BIGINT NOT NULL,
    remaining BIGINT NOT NULL
);

-- One row: the last stored time, and until when nothing is deleted by its age.
CREATE TABLE clock_mark (
    id BIGINT NOT NULL PRIMARY KEY,
    seen BIGINT NOT NULL,
    hold_until BIGINT
);
