-- Removal of a blob, noted before it begins. Whoever adds a task that names the blob looks for it; after a day it is forgotten.
CREATE TABLE blob_removal (
    sha256 TEXT PRIMARY KEY,
    begun BIGINT NOT NULL,
    is_over BOOLEAN NOT NULL
);
