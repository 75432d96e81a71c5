-- Namespaces that an app shares with the Apollo clients of all apps; without an app one that was withdrawn. Rows stay, so that
-- notification ids, of which `base` is a part, never go back.
CREATE TABLE shared_namespace (
    name TEXT PRIMARY KEY,
    app_id BIGINT REFERENCES app (id),
    epoch BIGINT NOT NULL,
    base BIGINT NOT NULL
);
