//! What the settings say about the logs of edges.

use std::collections::HashMap;

use pilothouse_access_log::Format;
use pilothouse_cdn_providers::{CdnSettings, EdgeSettings, EdgesSettings, LogFormat};
use pilothouse_core::Result;
use pilothouse_core::cdn::LogShipper;

use crate::follow::FollowedLog;
use crate::reader::Layout;

/// The edges that may ship their logs: those with a key.
pub(crate) fn shippers(cdns: &[CdnSettings]) -> Result<Vec<LogShipper>> {
    let mut shippers = Vec::new();
    for (cdn, edge) in edges(cdns) {
        let key = edge.read_key()?;
        let (cdn, edge, is_followed) = (cdn.name.clone(), edge.name.clone(), edge.access_log.is_some());
        shippers.extend(key.map(|key| LogShipper { cdn, edge, key, is_followed }));
    }
    Ok(shippers)
}

/// How the logs of edges are laid out, by cdn and edge.
pub(crate) fn layouts(cdns: &[CdnSettings]) -> HashMap<(String, String), Layout> {
    edges(cdns).map(|(cdn, edge)| ((cdn.name.clone(), edge.name.clone()), layout(cdn, edge))).collect()
}

/// The logs to be followed.
pub(crate) fn followed(cdns: &[CdnSettings]) -> Vec<FollowedLog> {
    let log = |(cdn, edge): (&EdgesSettings, &EdgeSettings)| {
        let (path, layout) = (edge.access_log.clone()?, layout(cdn, edge));
        Some(FollowedLog { cdn: cdn.name.clone(), edge: edge.name.clone(), path, layout })
    };
    edges(cdns).filter_map(log).collect()
}

fn edges(cdns: &[CdnSettings]) -> impl Iterator<Item = (&EdgesSettings, &EdgeSettings)> {
    let edges = cdns.iter().filter_map(|cdn| match cdn {
        CdnSettings::Edges(settings) => Some(settings),
        _ => None,
    });
    edges.flat_map(|cdn| cdn.edges.iter().map(move |edge| (cdn, edge)))
}

fn layout(cdn: &EdgesSettings, edge: &EdgeSettings) -> Layout {
    let format = match edge.log_format {
        Some(LogFormat::Combined) => Format::Combined,
        Some(LogFormat::VhostCombined) => Format::VhostCombined,
        Some(LogFormat::Json) => Format::Json,
        Some(LogFormat::Tsv) | None => Format::Tsv,
    };
    // The settings are refused unless a cdn with such a log has exactly one domain.
    let domain = cdn.domains.first().filter(|_| format == Format::Combined).cloned();
    Layout { format, domain }
}
