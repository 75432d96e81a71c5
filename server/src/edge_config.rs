//! Prints what an operator installs on an edge.

use std::path::PathBuf;

use pilothouse_cdn_providers::{EdgeConfig, EdgeKind};

use crate::args::EdgeOptions;
use crate::failure::Failure;
use crate::terminal::print;

/// Prints the configuration of an edge.
pub(crate) fn edge_config(options: EdgeOptions) -> Result<(), Failure> {
    let EdgeOptions { kind, origin, listen, allow, key, log, cache } = options;
    let (listens, logs) = match kind {
        EdgeKind::Varnish => (":80", "/var/log/varnish/pilothouse.tsv"),
        EdgeKind::Nginx => ("80", "/var/log/nginx/pilothouse.tsv"),
    };
    let config = EdgeConfig {
        kind,
        origin,
        listen: listen.unwrap_or_else(|| listens.to_owned()),
        allow,
        key: key.map(|key| key.read_edge_key("key")).transpose()?,
        log: log.unwrap_or_else(|| PathBuf::from(logs)),
        cache: cache.unwrap_or_else(|| PathBuf::from("/var/cache/nginx/pilothouse")),
    };
    print(config.render()?.trim_end())
}
