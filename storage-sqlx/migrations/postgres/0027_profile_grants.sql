-- A grant may be on one profile of an app; NULL is the app as a whole.
ALTER TABLE app_grant ADD COLUMN profile TEXT;
DROP INDEX app_grant_account;
CREATE UNIQUE INDEX app_grant_account ON app_grant (account_id, COALESCE(app_id, 0), COALESCE(profile, ''));
