//! `/notifications/v2`: being told which namespaces changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::future;
use pilothouse_core::config::{AppSession, ConfigSnapshot, NamespaceShare, NodeSession, Presence};
use pilothouse_core::{Epoch, Error};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};

use super::client::{Client, Who, profiles, share_message};
use crate::args::Args;
use crate::envelope::Failure;
use crate::state::ApiState;

/// The most namespaces of one question.
const MOST: usize = 1000;
/// Namespaces that a client watches.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Watched {
    /// Name of the app.
    #[param(max_length = 64, example = "app1")]
    app_id: String,
    /// Profile within the app.
    #[serde(default)]
    #[param(max_length = 64, example = "dev")]
    cluster: String,
    /// The namespaces with the last id the client was told of each, or -1: JSON, at most 1000.
    #[param(max_length = 65536, example = "[{\"namespaceName\":\"application\",\"notificationId\":-1}]")]
    notifications: String,
    /// The client's address: grey releases to nodes of other addresses are not told. Without, all are.
    #[serde(default)]
    #[param(max_length = 64, example = "10.0.0.1")]
    ip: String,
    /// A profile that is asked where the first has nothing, before `default`.
    #[serde(default)]
    #[param(max_length = 64, example = "")]
    data_center: String,
}

/// A namespace that a client watches.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    namespace_name: String,
    #[serde(default = "never", deserialize_with = "id")]
    notification_id: i64,
}

/// An id, which some clients send as text.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id<'a> {
        Number(i64),
        Text(#[serde(borrow)] Cow<'a, str>),
    }
    match Id::deserialize(deserializer)? {
        Id::Number(id) => Ok(id),
        Id::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

fn never() -> i64 {
    -1
}

/// A namespace that changed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notification {
    /// Name as the client writes it, without `.properties`.
    #[schema(example = "application")]
    namespace_name: String,
    /// The revision of the change: grows with every change, and never goes back.
    #[schema(example = 259_845_521_440_805_i64)]
    notification_id: i64,
    /// The id of each profile that has the namespace.
    messages: Messages,
}

/// Ids by what they are of.
#[derive(Serialize, ToSchema)]
struct Messages {
    /// By app, profile and namespace, joined by `+`.
    details: BTreeMap<String, i64>,
}

/// Waits until one of the namespaces has changed for the client after what it knows: for `long_poll_seconds`, then 304. Signed as
/// `/configs` is.
#[utoipa::path(
    get,
    path = "/notifications/v2",
    tag = "apollo",
    params(Watched),
    security(("apollo" = [])),
    extensions(("x-permission" = json!("app key"))),
    responses(
        (status = 200, description = "The namespaces that changed.", body = Vec<Notification>),
        (status = 304, description = "None did."),
        (status = 400, description = "The namespaces cannot be read."),
        (status = 401, description = "Not signed with a key of this app."),
    ),
)]
pub(super) async fn get_notifications(
    State(api): State<ApiState>,
    client: Client,
    Args(watched): Args<Watched>,
) -> Result<Response, Failure> {
    let who = Who { ip: watched.ip, label: String::new(), data_center: watched.data_center };
    let session = client.open(&api, &watched.app_id).await?;
    let namespaces = namespaces(&watched.notifications)
        .ok_or_else(|| Error::invalid("notifications", "must be a JSON list of 1 to 1000 namespaces"))?;
    let profiles: Vec<&str> = profiles(&watched.cluster, &who.data_center).collect();
    let address = (!who.ip.is_empty()).then(|| client.address(&who));
    let held = tokio::time::sleep(api.settings.long_poll);
    tokio::pin!(held);
    let mut present: Vec<Presence> = Vec::new();
    let mut is_first = true;
    loop {
        // Subscribed before anything is looked at, so that nothing passes in between.
        let mut shares = session.shared_namespaces().await?;
        shares.mark_unchanged();
        let mut snapshots = session.subscribe();
        let sources = Sources::open(&session, &namespaces).await?;
        let mut shared_snapshots: Vec<_> = sources.sessions().map(AppSession::subscribe).collect();
        if is_first {
            // Of a namespace that others share an id is none of the app's revisions.
            let own = namespaces.iter().filter(|known| sources.of(known).is_none());
            session.snapshot_at(own.map(|known| known.notification_id).max().unwrap_or(0)).await?;
        }
        present.clear();
        for source in [&session].into_iter().chain(sources.sessions()) {
            for profile in &profiles {
                present.push(source.present(profile, address.as_deref(), client.peer));
            }
        }
        let (session, profiles, sources) = (&session, &*profiles, &sources);
        // Of an address under which no client is known, grey releases may mean it by another one.
        let is_known = present.iter().any(|present| !present.clients().is_empty());
        let address = address.as_deref().filter(|_| is_known);
        let snapshot = snapshots.borrow_and_update().clone();
        if is_first {
            let watching = Watching { session, snapshot, profiles, sources, address };
            record_confirmed(&watching, &present, &namespaces);
            is_first = false;
        }
        loop {
            let snapshot = snapshots.borrow_and_update().clone();
            shared_snapshots.iter_mut().for_each(watch::Receiver::mark_unchanged);
            if session.is_revoked(&snapshot) {
                return Err(Error::Unauthenticated.into());
            }
            let watching = Watching { session, snapshot, profiles, sources, address };
            let changed = watching.changed(&namespaces);
            if !changed.is_empty() {
                return Ok(Json(changed).into_response());
            }
            if session.has_ended() || sources.have_ended() {
                return Ok(StatusCode::NOT_MODIFIED.into_response());
            }
            let any_shared = async {
                if shared_snapshots.is_empty() {
                    future::pending::<()>().await;
                }
                let changes = shared_snapshots.iter_mut().map(|snapshots| Box::pin(snapshots.changed()));
                let _ = future::select_all(changes).await;
            };
            tokio::select! {
                () = &mut held => return Ok(StatusCode::NOT_MODIFIED.into_response()),
                _ = shares.changed() => break,
                () = any_shared => {}
                more = snapshots.changed() => if more.is_err() {
                    return Ok(StatusCode::NOT_MODIFIED.into_response());
                },
            }
        }
    }
}

/// The namespaces of a question, each once: of one that is asked for with and without `.properties` the lower id counts.
/// Upper and lower case are different: there may be both.
fn namespaces(text: &str) -> Option<Vec<Known>> {
    let list: Vec<Known> = serde_json::from_str(text).ok()?;
    if list.is_empty() || list.len() > MOST {
        return None;
    }
    let mut once: BTreeMap<String, Known> = BTreeMap::new();
    for mut known in list {
        let end = known.namespace_name.len().saturating_sub(".properties".len());
        if known.namespace_name.get(end..).is_some_and(|end| end.eq_ignore_ascii_case(".properties")) {
            known.namespace_name.truncate(end);
        }
        let held = once
            .entry(known.namespace_name.clone())
            .or_insert(Known { namespace_name: known.namespace_name.clone(), notification_id: i64::MAX });
        if known.notification_id < held.notification_id {
            *held = known;
        }
    }
    Some(once.into_values().collect())
}

/// The shares of the namespaces of a question, by name.
#[derive(Debug, Default)]
struct Sources(BTreeMap<String, NamespaceShare>);

impl Sources {
    async fn open(session: &AppSession, namespaces: &[Known]) -> Result<Self, Error> {
        let mut sources = BTreeMap::new();
        for Known { namespace_name: name, .. } in namespaces {
            if let Some(share) = session.namespace_share(name, 0).await? {
                sources.insert(name.clone(), share);
            }
        }
        Ok(Self(sources))
    }

    fn of(&self, known: &Known) -> Option<&NamespaceShare> {
        self.0.get(&known.namespace_name)
    }

    /// The sessions of the apps that share a namespace with the client's, each once.
    fn sessions(&self) -> impl Iterator<Item = &AppSession> {
        let sources = self.0.values().filter_map(|share| share.source.as_ref());
        sources.map(|source| (source.app(), source)).collect::<BTreeMap<_, _>>().into_values()
    }

    fn have_ended(&self) -> bool {
        self.sessions().any(AppSession::has_ended)
    }
}

/// What a client watches, at one moment.
struct Watching<'a> {
    session: &'a AppSession,
    snapshot: Arc<ConfigSnapshot>,
    profiles: &'a [&'a str],
    sources: &'a Sources,
    /// The client's address, where clients are known to be.
    address: Option<&'a str>,
}

impl Watching<'_> {
    /// Whether what the client holds of a namespace may differ from what it held at the last id it was told of.
    fn is_news(&self, known: &Known) -> bool {
        let (name, since) = (&known.namespace_name, known.notification_id);
        // An id of what others share is none of the revisions that are compared here.
        if self.sources.of(known).is_some() {
            return self.id(known).0 > since.max(0);
        }
        let differs = |profile: &&str| self.snapshot.namespace_changed_at(profile, name, since, self.address);
        self.profiles.iter().any(differs)
    }

    /// Whether a client was told in another history of a namespace that does not exist in this one.
    fn is_lost(&self, known: &Known) -> bool {
        let exists = |profile: &&str| self.snapshot.namespace_changed(profile, &known.namespace_name) > 0;
        known.notification_id > 0
            && Epoch::of(known.notification_id) < self.snapshot.epoch()
            && self.sources.of(known).is_none()
            && !self.profiles.iter().any(exists)
    }

    /// The id of a namespace, and its messages; 0 where nothing of it ever changed.
    fn id(&self, known: &Known) -> (i64, BTreeMap<String, i64>) {
        let name = &known.namespace_name;
        let details_of = |app: &str, snapshot: &ConfigSnapshot| -> BTreeMap<String, i64> {
            let ids = self.profiles.iter().filter_map(|profile| {
                let revision = snapshot.namespace_changed(profile, name);
                (revision > 0).then(|| (format!("{app}+{profile}+{name}"), revision))
            });
            ids.collect()
        };
        let newest = |details: &BTreeMap<String, i64>| details.values().copied().max().unwrap_or(0);
        let mut details = details_of(self.session.name(), &self.snapshot);
        let own = newest(&details);
        let Some(share) = self.sources.of(known) else { return (own, details) };
        let of_source = share.source.as_ref().map(|source| details_of(source.name(), &source.snapshot()));
        let of_source = of_source.unwrap_or_default();
        let id = share.notification_id(&self.snapshot, own, newest(&of_source));
        details.extend(of_source);
        details.insert(share_message(name), share.revision);
        (id, details)
    }

    fn changed(&self, namespaces: &[Known]) -> Vec<Notification> {
        let mut all = Vec::new();
        for known in namespaces {
            let name = &known.namespace_name;
            let (id, details) = if self.is_news(known) {
                self.id(known)
            } else if let Some(profile) = self.profiles.first().filter(|_| self.is_lost(known)) {
                let id = self.snapshot.epoch().revision(0);
                (id, BTreeMap::from([(format!("{}+{profile}+{name}", self.session.name()), id)]))
            } else {
                continue;
            };
            let messages = Messages { details };
            all.push(Notification { namespace_name: name.clone(), notification_id: id, messages });
        }
        all
    }
}

/// A client that was told what a namespace holds now, and comes back knowing of its last change, has it.
fn record_confirmed(watching: &Watching<'_>, present: &[Presence], namespaces: &[Known]) {
    let clients: Vec<&NodeSession> = present.iter().flat_map(Presence::clients).collect();
    for known in namespaces {
        let name = &known.namespace_name;
        if watching.is_news(known) {
            continue;
        }
        for node in &clients {
            let snapshot = node.app().snapshot();
            if let Some(content) = snapshot.namespace(node.profile(), node.node_id(), name)
                && node.was_sent(&content)
            {
                node.record_namespace(&content, true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_and_without_properties_is_one_with_the_lower_id() {
        let text = r#"[{"namespaceName":"db.Properties","notificationId":7},{"namespaceName":"db","notificationId":"5","messages":{}},
            {"namespaceName":"DB","notificationId":"-1"},{"namespaceName":"a.json"}]"#;
        let read: Vec<_> = namespaces(text)
            .unwrap()
            .into_iter()
            .map(|known| (known.namespace_name, known.notification_id))
            .collect();
        assert_eq!(read, [("DB".to_owned(), -1), ("a.json".to_owned(), -1), ("db".to_owned(), 5)]);
        for bad in [
            "",
            "[]",
            "{}",
            "[1]",
            "[{\"notificationId\":1}]",
            "[{\"namespaceName\":\"a\",\"notificationId\":\"x\"}]",
        ] {
            assert!(namespaces(bad).is_none(), "{bad}");
        }
        assert_eq!(namespaces("[{\"namespaceName\":\"属性\"}]").unwrap()[0].namespace_name, "属性");
    }
}
