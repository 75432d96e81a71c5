-- Batch: one update of a file on many machines. Its tasks name it. Changed by compare-and-set on the version.
CREATE TABLE batch (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id BYTEA NOT NULL UNIQUE,
    create_time BIGINT NOT NULL,
    state TEXT NOT NULL,
    canary BIGINT NOT NULL,
    batch_size BIGINT NOT NULL,
    max_failures BIGINT NOT NULL,
    on_stop TEXT NOT NULL,
    forgiven BIGINT NOT NULL,
    is_forced BOOLEAN NOT NULL,
    begun BIGINT,
    version BIGINT NOT NULL
);
CREATE INDEX batch_state ON batch (state, id);

ALTER TABLE task ADD COLUMN batch BYTEA;
CREATE INDEX task_batch ON task (batch, id) WHERE batch IS NOT NULL;
CREATE INDEX file_order_state ON file_order (state);
