-- Token of an agent that takes the place of the one that it has when it is first used.
ALTER TABLE agent ADD COLUMN next_token BLOB;
CREATE UNIQUE INDEX agent_next_token ON agent (next_token) WHERE next_token IS NOT NULL;
CREATE INDEX file_order_machine ON file_order (machine) WHERE machine IS NOT NULL;

-- Folder of blobs that servers on the store share, by the id that stands in it.
ALTER TABLE store_identity ADD COLUMN blob_folder TEXT;
