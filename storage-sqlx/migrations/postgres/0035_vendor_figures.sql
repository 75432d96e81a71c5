-- Until when the figures of a cdn whose vendor knows them are known, a row per cdn.
CREATE TABLE vendor_figures (
    cdn TEXT NOT NULL PRIMARY KEY,
    known_until BIGINT NOT NULL,
    is_estimated BOOLEAN NOT NULL,
    pulled_at BIGINT NOT NULL
);
