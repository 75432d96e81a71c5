-- Domains that the providers of cdns serve, as each said last.
CREATE TABLE cdn_services (
    cdn_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    group_name TEXT NOT NULL,
    service TEXT NOT NULL,
    PRIMARY KEY (cdn_id, domain)
);
