//! `pilothouse edge-config`: prints what to install on an edge: its configuration, or the writer of its access log.

use std::fs;
use std::path::Path;

use pilothouse_cdn_providers::{CacheRules, DomainRules, EdgeConfig};

use crate::args::EdgeOptions;
use crate::failure::Failure;
use crate::terminal::print;

/// Prints the configuration of an edge.
pub(crate) fn edge_config(options: EdgeOptions) -> Result<(), Failure> {
    let mut config = EdgeConfig::without_origin(options.kind, options.allow);
    config.origins = options.origins;
    config.host_headers = options.host_headers;
    config.rules = options.rules.map(|file| read_rules(&file)).transpose()?.unwrap_or_default();
    if !options.listen.is_empty() {
        config.listen = options.listen;
    }
    config.certificates = options.certificates;
    config.certificate_keys = options.certificate_keys;
    config.origin_ca = options.origin_ca.unwrap_or(config.origin_ca);
    config.forwarded_proto = options.forwarded_proto;
    config.key = options.key.map(|key| key.read_edge_key("key")).transpose()?;
    config.log = options.log.unwrap_or(config.log);
    config.cache = options.cache.unwrap_or(config.cache);
    let text = if options.log_writer { config.render_log_writer()? } else { config.render()? };
    print(text.trim_end())
}

fn read_rules(file: &Path) -> Result<Vec<DomainRules>, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("rules: cannot read {}: {error}", file.display())))?;
    let rules: CacheRules = toml::from_str(&text)
        .map_err(|error| Failure::usage(format!("rules: {}: {error}", file.display())))?;
    Ok(rules.domain)
}
