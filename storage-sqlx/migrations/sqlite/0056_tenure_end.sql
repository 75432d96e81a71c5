-- Tenures of a cdn that ended lately, which every reader of a followed log asks for.
CREATE INDEX domain_tenure_end ON domain_tenure (cdn_id, until);
