-- Items of a vendor's quotas that customers had sent, a row per quota, day and customer. Rows go with their day.
CREATE TABLE vendor_spending (
    cdn TEXT NOT NULL,
    operation BIGINT NOT NULL,
    pool TEXT NOT NULL,
    resets_at BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    items BIGINT NOT NULL,
    PRIMARY KEY (cdn, operation, pool, resets_at, account_id)
);
