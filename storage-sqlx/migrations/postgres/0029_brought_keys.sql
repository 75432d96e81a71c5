-- Text of an app key that was brought along, encrypted; NULL where salt and secret make it.
ALTER TABLE app_key ADD COLUMN encrypted BYTEA;
