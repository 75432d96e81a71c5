//! Abilities of providers: refusal of refreshes and preloads that a cdn cannot do.

use std::sync::Arc;

use super::job::{Job, JobKind};
use super::target::{Target, is_prefix, is_tag};
use crate::ports::{Capabilities, CdnProvider, Operation, Prefix, ProviderError};
use crate::{Error, Result};

/// The provider's batch size; refuses what it will never do, and a cdn that has none.
pub(super) fn check_provider(
    provider: Option<&Arc<dyn CdnProvider>>,
    cdn: &str,
    kind: JobKind,
    targets: &[&Target],
) -> Result<usize> {
    let provider = provider.ok_or_else(|| Error::Unavailable(format!("no provider is set up for {cdn}")))?;
    let can = provider.capabilities();
    if !can.purge_tags && targets.iter().any(|target| target.is_tag()) {
        return Err(Error::invalid("tags", format!("{cdn} cannot purge by tag: {}", purge_ability(can))));
    }
    for target in targets.iter().filter(|target| target.is_prefix()) {
        let possible = can.purge_prefix.check(&target.url);
        possible.map_err(|reason| Error::invalid("path", format!("{cdn} {reason}")))?;
    }
    Ok(match kind {
        JobKind::Refresh => can.purge_batch,
        JobKind::Preload => can.preload_batch,
    })
}

/// Kinds of purge of a provider without tags, for the refusal of tags.
fn purge_ability(can: &Capabilities) -> &'static str {
    match (can.purge_urls, can.purge_prefix) {
        (false, _) => "it purges nothing",
        (true, Prefix::Never) => "it purges URLs only",
        (true, Prefix::Any) => "it purges URLs and prefixes only",
        (true, Prefix::Directory) => "it purges URLs and directories only",
        (true, Prefix::PathBorder) => "it purges URLs and prefixes at path borders only",
    }
}

/// Refuses what the provider cannot do. It was asked when the job was accepted; since then it may have been set up anew.
pub(super) fn check_able(can: &Capabilities, job: &Job) -> Result<(), ProviderError> {
    let tags = job.urls.iter().filter(|url| is_tag(url)).count();
    let operation = match job.kind {
        JobKind::Refresh if tags > 0 && !can.purge_tags => Operation::PurgeTags.as_str(),
        JobKind::Refresh if tags < job.urls.len() && !can.purge_urls => Operation::PurgeUrls.as_str(),
        JobKind::Refresh if !prefixes_are_able(can, job) => "purge by such a prefix",
        JobKind::Preload if !can.preload => Operation::Preload.as_str(),
        _ if can.edges.is_empty() => "reach any edge",
        _ => return Ok(()),
    };
    Err(ProviderError::Unsupported { provider: job.cdn.clone(), operation })
}

fn prefixes_are_able(can: &Capabilities, job: &Job) -> bool {
    let mut prefixes = job.urls.iter().filter(|url| is_prefix(url));
    prefixes.all(|url| can.purge_prefix.check(url).is_ok())
}
