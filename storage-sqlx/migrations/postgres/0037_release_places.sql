-- The app and the profile of a release stand in it, so that neither its news nor a list of releases looks through the items.
ALTER TABLE config_release ADD COLUMN app_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE config_release ADD COLUMN profile TEXT NOT NULL DEFAULT '';
UPDATE config_release SET app_id = config_item.app_id, profile = config_item.profile
FROM config_item WHERE config_item.id = item_id;
CREATE INDEX config_release_begun ON config_release (app_id, revision);
CREATE INDEX config_release_ended ON config_release (app_id, end_revision) WHERE end_revision IS NOT NULL;
CREATE INDEX config_release_profile ON config_release (app_id, profile, id) WHERE set_id IS NULL;
CREATE INDEX config_release_active ON config_release (item_id, id) WHERE state = 0;
CREATE INDEX config_release_grey ON config_release (id) WHERE kind = 1 AND state = 0;
DROP INDEX config_release_set;
CREATE INDEX config_release_set ON config_release (set_id, state, version) WHERE set_id IS NOT NULL;
CREATE INDEX config_item_pending ON config_item (app_id, id) WHERE NOT deleted AND version <> published_version;
CREATE INDEX change_set_state ON change_set (app_id, state, id);
