-- Hosts that the settings of a cdn list: nothing of them is dropped or pruned.
ALTER TABLE unregistered_host ADD COLUMN is_listed BOOLEAN NOT NULL DEFAULT FALSE;
