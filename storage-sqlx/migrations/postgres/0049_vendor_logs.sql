-- Looks at the logs of vendors, a row per cdn and domain name.
CREATE TABLE vendor_log_pulls (
    cdn_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    domain_id BIGINT NOT NULL,
    since BIGINT NOT NULL,
    pulled_at BIGINT NOT NULL,
    PRIMARY KEY (cdn_id, domain)
);

-- Files of vendors' logs that were fetched. Rows go a month after the time that the file is of.
CREATE TABLE vendor_log_files (
    cdn_id BIGINT NOT NULL,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    begins BIGINT NOT NULL,
    PRIMARY KEY (cdn_id, domain, name)
);
CREATE INDEX vendor_log_files_begins ON vendor_log_files (begins);
