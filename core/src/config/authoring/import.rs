//! Import: files of configuration as change sets, one for each profile.

use super::app::open_app;
use super::apply::{Applied, NewChangeSet};
use super::change_sets::ChangeSets;
use super::grant::Permission;
use crate::account::{Caller, Reach};
use crate::{Error, Result};

/// Outcome of the import of a profile.
#[derive(Debug)]
pub struct Imported {
    /// Name of the app.
    pub app: String,
    /// The profile.
    pub profile: String,
    /// The change set, and what was done about each key.
    pub applied: Applied,
}

impl ChangeSets<'_> {
    /// Refuses a caller who may not change a profile, before what it sends is looked at. Without an app only a token that
    /// opens no app is refused.
    pub async fn check_caller(
        &self,
        caller: &Caller,
        app: Option<&str>,
        profile: Option<&str>,
    ) -> Result<()> {
        let Some(app) = app else { return self.0.require_account_scope(caller) };
        let mut snapshot = self.0.storage().read().await?;
        self.0.require_current(&mut *snapshot, caller).await?;
        let reach = profile.map_or(Reach::SomeProfiles, Reach::Profile);
        open_app(self.0, &mut *snapshot, caller, (app, reach), Permission::Develop).await.map(|_| ())
    }

    /// Applies the change sets of several profiles, one after the other; needs permission 1 on each. Nothing is done where one
    /// of them cannot be; only what changes meanwhile can leave those after it undone, which the error says.
    pub async fn import(&self, caller: &Caller, sets: Vec<NewChangeSet>) -> Result<Vec<Imported>> {
        if let [_, _, ..] = sets[..] {
            for set in &sets {
                let planned = self.apply(caller, NewChangeSet { dry_run: true, ..set.clone() }).await?;
                let refused =
                    planned.changes.into_iter().find_map(|change| Some((change.key, change.error?)));
                if let Some((key, error)) = refused.filter(|_| !set.dry_run) {
                    let NewChangeSet { app, profile, .. } = set;
                    return Err(Error::invalid(format!("{app}/{profile}/{key}"), error.to_string()));
                }
            }
        }
        let mut imported: Vec<Imported> = Vec::with_capacity(sets.len());
        for set in sets {
            let (app, profile, dry_run) = (set.app.clone(), set.profile.clone(), set.dry_run);
            let applied = self.apply(caller, set).await;
            let applied = applied.map_err(|error| match imported.last() {
                Some(_) if !dry_run => {
                    let done: Vec<_> =
                        imported.iter().map(|done| format!("{}/{}", done.app, done.profile)).collect();
                    Error::conflict(format!("{app}/{profile}: {error}; done before: {}", done.join(", ")))
                }
                _ => error,
            })?;
            imported.push(Imported { app, profile, applied });
        }
        Ok(imported)
    }
}
