CREATE TABLE app (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app TEXT NOT NULL UNIQUE,
    app_type BIGINT NOT NULL,
    name TEXT NOT NULL,
    charger TEXT NOT NULL,
    create_time BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

-- Without an app it reaches every app.
CREATE TABLE app_grant (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    app_id BIGINT REFERENCES app (id) ON DELETE CASCADE,
    uname TEXT NOT NULL,
    permission BIGINT NOT NULL
);
CREATE UNIQUE INDEX app_grant_account ON app_grant (account_id, COALESCE(app_id, 0));
CREATE INDEX app_grant_app ON app_grant (app_id);

-- `version` names the current row of config_version, `published_version` the one of the last full release (0: none).
-- `revision` is the app's when what is published of the item last changed.
CREATE TABLE config_item (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id BIGINT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    profile TEXT NOT NULL,
    key TEXT NOT NULL,
    version BIGINT NOT NULL,
    published_version BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    UNIQUE (app_id, profile, key)
);

-- Who made or approved a version stays known when the account is gone.
CREATE TABLE config_version (
    item_id BIGINT NOT NULL REFERENCES config_item (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    value TEXT NOT NULL,
    validator TEXT NOT NULL,
    description TEXT NOT NULL,
    modifier BIGINT NOT NULL,
    modify_time BIGINT NOT NULL,
    approver BIGINT,
    PRIMARY KEY (item_id, version)
);

CREATE TABLE config_release (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    item_id BIGINT NOT NULL REFERENCES config_item (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    state BIGINT NOT NULL,
    publisher BIGINT NOT NULL,
    publish_time BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX config_release_item ON config_release (item_id);
