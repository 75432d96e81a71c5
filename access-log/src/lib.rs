//! Parsing, aggregating and archiving of CDN access logs.
