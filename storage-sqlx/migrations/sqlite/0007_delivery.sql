-- A release counts from `revision` until before `end_revision`. `nodes` are the ids of its nodes, separated by commas;
-- empty for a full release. `origin` is the release of the same version that it took the place of.
ALTER TABLE config_release ADD COLUMN end_revision BIGINT;
ALTER TABLE config_release ADD COLUMN nodes TEXT NOT NULL DEFAULT '';
ALTER TABLE config_release ADD COLUMN origin BIGINT;
UPDATE config_release SET end_revision = COALESCE(
    (SELECT MIN(later.revision) FROM config_release later
     WHERE later.item_id = config_release.item_id AND later.revision > config_release.revision),
    (SELECT config_item.revision FROM config_item WHERE config_item.id = config_release.item_id))
WHERE state <> 0;

-- The key itself is not kept: it is made of the salt and the operator's secret.
CREATE TABLE app_key (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id BIGINT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    salt BLOB NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    create_time BIGINT NOT NULL
);
CREATE INDEX app_key_app ON app_key (app_id);

-- Labels are name:value, separated by commas.
CREATE TABLE config_node (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app_id BIGINT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    profile TEXT NOT NULL,
    node_id TEXT NOT NULL,
    pid TEXT NOT NULL,
    ip TEXT,
    labels TEXT NOT NULL,
    register_time BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    has_left BOOLEAN NOT NULL,
    UNIQUE (app_id, profile, node_id)
);
CREATE INDEX config_node_lease ON config_node (lease_until);

-- What became of a release at a node; without a result the node has said nothing.
CREATE TABLE config_delivery (
    release_id BIGINT NOT NULL REFERENCES config_release (id) ON DELETE CASCADE,
    node_id BIGINT NOT NULL REFERENCES config_node (id) ON DELETE CASCADE,
    sent BIGINT,
    result BIGINT,
    message TEXT,
    acked BIGINT,
    PRIMARY KEY (release_id, node_id)
);
CREATE INDEX config_delivery_node ON config_delivery (node_id);
