//! Logs of edges, as the settings describe them: which are shipped, which are followed, and their layouts.

use pilothouse_cdn_providers::{CdnSettings, EdgeKind, EdgeSettings, EdgesSettings, LogFormat, LogStamp};
use pilothouse_core::Result;
use pilothouse_core::cdn::{LogShipper, misspelt_cdn};
use pilothouse_log_intake::{FollowedLog, Format, LogLayout, ShippedLogReader, Stamp};

use crate::failure::Failure;

/// Edges that may ship their logs: those with a key.
pub(crate) fn shippers(cdns: &[CdnSettings]) -> Result<Vec<LogShipper>> {
    let mut shippers = Vec::new();
    for (cdn, edge) in edges(cdns) {
        let key = edge.read_key()?;
        let (cdn, edge, is_followed) = (cdn.name.clone(), edge.name.clone(), edge.access_log.is_some());
        shippers.extend(key.map(|key| LogShipper { cdn, edge, key, is_followed }));
    }
    Ok(shippers)
}

/// Adds the layout of every edge's log to a reader of shipped logs.
pub(crate) fn with_layouts(reader: ShippedLogReader, cdns: &[CdnSettings]) -> ShippedLogReader {
    edges(cdns).fold(reader, |reader, (cdn, edge)| reader.edge(&cdn.name, &edge.name, layout(cdn, edge)))
}

/// Logs to be followed: those of edges with an `access_log`.
pub(crate) fn followed(cdns: &[CdnSettings]) -> Vec<FollowedLog> {
    let log = |(cdn, edge): (&EdgesSettings, &EdgeSettings)| {
        let log = FollowedLog::new(&cdn.name, &edge.name, edge.access_log.clone()?, layout(cdn, edge));
        Some(edge.rotated_log_dir.iter().fold(log, pilothouse_log_intake::FollowedLog::rotated_folder))
    };
    edges(cdns).filter_map(log).collect()
}

/// Moment that the lines of an edge are stamped with, which a command names. Refuses one that the settings of its cdn do not
/// name: its lines would be billed beside those of the edge that was meant. A cdn that the settings do not name is refused
/// elsewhere.
pub(crate) fn stamp_of(cdns: &[CdnSettings], cdn: &str, edge: &str) -> Result<Stamp, Failure> {
    let cdn = meant(cdns, cdn);
    let of_cdn = || edges(cdns).filter(|(of, _)| of.name == cdn).map(|(_, edge)| edge);
    if let Some(edge) = of_cdn().find(|known| known.name == edge) {
        return Ok(stamp(edge));
    }
    if cdns.iter().all(|known| known.name() != cdn) {
        return Ok(Stamp::End);
    }
    let names: Vec<_> = of_cdn().map(|known| &*known.name).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(Failure::usage(format!("--edge: {cdn} has no edge {edge}; its edges are: {known}")))
}

/// The name of a cdn that a command names.
fn meant<'a>(cdns: &[CdnSettings], cdn: &'a str) -> &'a str {
    let is_known = cdns.iter().any(|known| known.name() == cdn);
    if is_known { cdn } else { misspelt_cdn(cdn).unwrap_or(cdn) }
}

/// Edges of all cdns.
pub(crate) fn edges(cdns: &[CdnSettings]) -> impl Iterator<Item = (&EdgesSettings, &EdgeSettings)> {
    let edges = cdns.iter().filter_map(|cdn| match cdn {
        CdnSettings::Edges(settings) => Some(settings),
        _ => None,
    });
    edges.flat_map(|cdn| cdn.edges.iter().map(move |edge| (cdn, edge)))
}

/// Moment that the lines of an edge are stamped with.
fn stamp(edge: &EdgeSettings) -> Stamp {
    match (edge.log_stamp, edge.kind) {
        (Some(LogStamp::Begin), _) | (None, EdgeKind::Varnish) => Stamp::Begin,
        (Some(LogStamp::End) | None, _) => Stamp::End,
    }
}

fn layout(cdn: &EdgesSettings, edge: &EdgeSettings) -> LogLayout {
    let format = match edge.log_format {
        Some(LogFormat::Combined) => Format::Combined,
        Some(LogFormat::VhostCombined) => Format::VhostCombined,
        Some(LogFormat::Json) => Format::Json,
        Some(LogFormat::Tsv) | None => Format::Tsv,
    };
    let layout = LogLayout::new(format).stamp(stamp(edge));
    // The settings are refused unless a cdn with a log of this format has exactly one domain.
    match cdn.domains.first() {
        Some(domain) if format == Format::Combined => layout.domain(domain),
        _ => layout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_stamped_as_the_kind_of_the_edge_does() {
        let mut edges = [("varnish", EdgeKind::Varnish), ("nginx", EdgeKind::Nginx)]
            .map(|(name, kind)| EdgeSettings::new(name, kind, "http://127.0.0.1:9"));
        assert_eq!(edges.each_ref().map(stamp), [Stamp::Begin, Stamp::End]);
        edges[0].log_stamp = Some(LogStamp::End);
        edges[1].log_stamp = Some(LogStamp::Begin);
        assert_eq!(edges.each_ref().map(stamp), [Stamp::End, Stamp::Begin]);
        let cdns = [CdnSettings::Edges(EdgesSettings::new("level3", edges.to_vec()))];
        assert_eq!(stamp_of(&cdns, "level3", "nginx").unwrap(), Stamp::Begin);
        assert_eq!(stamp_of(&cdns, "nowhere", "nginx").unwrap(), Stamp::End);
    }

    #[test]
    fn an_edge_must_be_one_of_its_cdn() {
        let edge = |name: &str| EdgeSettings::new(name, EdgeKind::Nginx, "http://127.0.0.1:9");
        let cdns = [CdnSettings::Edges(EdgesSettings::new("level3", vec![edge("edge-1"), edge("edge-2")]))];
        assert!(stamp_of(&cdns, "level3", "edge-2").is_ok() && stamp_of(&cdns, "nowhere", "edge-9").is_ok());
        let refused = stamp_of(&cdns, "level3", "edge_1").unwrap_err().to_string();
        assert_eq!(refused, "--edge: level3 has no edge edge_1; its edges are: edge-1, edge-2");
    }
}
