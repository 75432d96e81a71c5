-- Events that webhooks are still to be sent. A row goes when its receiver has accepted it.
CREATE TABLE webhook_delivery (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    webhook TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    created BIGINT NOT NULL,
    -- Next attempt, or the end of a lease.
    due BIGINT NOT NULL,
    is_claimed BOOLEAN NOT NULL,
    attempts BIGINT NOT NULL
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook, due, id);
