-- Pieces of the most requested paths of domains by hour. source_id is that of an ingested log as long as it can be forgotten, else 0.
CREATE TABLE top_urls (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    source_id BIGINT NOT NULL,
    kept_from BIGINT NOT NULL,
    data BYTEA NOT NULL
);
CREATE INDEX top_urls_hour ON top_urls (domain_id, hour, source_id);
CREATE INDEX top_urls_kept_from ON top_urls (kept_from, id);
CREATE INDEX top_urls_source ON top_urls (source_id) WHERE source_id <> 0;
