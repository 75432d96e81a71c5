-- Keys that a node is to be told again, because it said that it holds something else than it should.
CREATE TABLE config_drift (
    node_id BIGINT NOT NULL REFERENCES config_node (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    PRIMARY KEY (node_id, key)
);
