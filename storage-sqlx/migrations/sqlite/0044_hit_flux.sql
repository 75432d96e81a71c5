-- Bytes that were sent from the cache.
ALTER TABLE traffic_open ADD COLUMN hit_flux BIGINT NOT NULL DEFAULT 0;
