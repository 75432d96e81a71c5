-- Changes of several items of a profile, made, approved and released together. Who made or approved a set stays known when
-- the account is gone.
CREATE TABLE change_set (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id BIGINT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    profile TEXT NOT NULL,
    title TEXT NOT NULL,
    state BIGINT NOT NULL,
    author BIGINT NOT NULL,
    create_time BIGINT NOT NULL,
    approver BIGINT,
    size BIGINT NOT NULL
);
CREATE INDEX change_set_profile ON change_set (app_id, profile, id);

-- `from_version` is the version before (0: the key was not there), `version` the one that the set made (0: a deletion).
CREATE TABLE change_set_item (
    change_set_id BIGINT NOT NULL REFERENCES change_set (id) ON DELETE CASCADE,
    item_id BIGINT NOT NULL REFERENCES config_item (id) ON DELETE CASCADE,
    action BIGINT NOT NULL,
    from_version BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (change_set_id, item_id)
);
CREATE INDEX change_set_item_item ON change_set_item (item_id);
