-- Rows of one host and day, which are merged.
CREATE INDEX unregistered_lines_day ON unregistered_lines (cdn_id, host, day, sealed, source_id, is_open);
