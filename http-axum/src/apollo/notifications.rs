//! `/notifications/v2`: being told which namespaces changed.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pilothouse_core::Error;
use pilothouse_core::config::{AppId, Feed, NodeFeed, Presence, View};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::client::{Client, Who, profiles};
use crate::args::Args;
use crate::envelope::Failure;
use crate::state::ApiState;

/// The most namespaces of one question.
const MOST: usize = 1000;
/// Bits of an id that are the app's revision; the app is above them. So ids grow as revisions do, also where an app is
/// deleted and created again, and fit into a JavaScript number.
const REVISION_BITS: u32 = 32;

/// What a client watches.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Watched {
    /// The app.
    #[param(max_length = 64, example = "app1")]
    app_id: String,
    /// The profile.
    #[serde(default)]
    #[param(max_length = 64, example = "dev")]
    cluster: String,
    /// The namespaces with the last id the client was told of each, or -1: JSON, at most 1000.
    #[param(max_length = 65536, example = "[{\"namespaceName\":\"application\",\"notificationId\":-1}]")]
    notifications: String,
    /// The client's address; without, where the request comes from.
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
    #[serde(default = "never")]
    notification_id: i64,
}

fn never() -> i64 {
    -1
}

/// A namespace that changed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Notification {
    /// Its name as the client writes it, without `.properties`.
    #[schema(example = "application")]
    namespace_name: String,
    /// Grows with every change; never goes back.
    #[schema(example = 4_294_967_301_i64)]
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

/// The id of a revision of an app.
fn id_of(app: AppId, revision: i64) -> i64 {
    app << REVISION_BITS | revision
}

/// The revision behind an id, if it is of this app.
pub(super) fn revision_of(app: AppId, id: i64) -> Option<i64> {
    (id > 0 && id >> REVISION_BITS == app).then_some(id & ((1 << REVISION_BITS) - 1))
}

/// Waits until one of the namespaces has changed after what the client knows: at most 60 seconds, then 304. Signed as
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
    let feed = client.open(&api, &watched.app_id).await?;
    let namespaces = namespaces(&watched.notifications)
        .ok_or_else(|| Error::invalid("notifications", "must be a JSON list of 1 to 1000 namespaces"))?;
    // Subscribed before anything is looked at, so that nothing passes in between.
    let mut views = feed.subscribe();
    let known = namespaces.iter().filter_map(|known| revision_of(feed.app(), known.notification_id)).max();
    feed.view_at(known.unwrap_or(0)).await?;
    let profiles: Vec<&str> = profiles(&watched.cluster, &who.data_center).collect();
    let address = (!who.ip.is_empty()).then(|| client.address(&who));
    let present: Vec<Presence> =
        profiles.iter().map(|profile| feed.present(profile, address.as_deref(), client.peer)).collect();

    let view = views.borrow_and_update().clone();
    note_what_is_held(&feed, &view, &profiles, &present, &namespaces);
    let held = tokio::time::sleep(api.settings.apollo_hold);
    tokio::pin!(held);
    loop {
        let view = views.borrow_and_update().clone();
        let changed = changed(&feed, &view, &profiles, &namespaces);
        if !changed.is_empty() {
            return Ok(Json(changed).into_response());
        }
        if feed.has_ended() {
            return Ok(StatusCode::NOT_MODIFIED.into_response());
        }
        tokio::select! {
            () = &mut held => return Ok(StatusCode::NOT_MODIFIED.into_response()),
            more = views.changed() => if more.is_err() {
                return Ok(StatusCode::NOT_MODIFIED.into_response());
            },
        }
    }
}

/// The namespaces of a question, each once: of two spellings of one the lower id counts.
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
            .entry(known.namespace_name.to_lowercase())
            .or_insert(Known { namespace_name: known.namespace_name.clone(), notification_id: i64::MAX });
        if known.notification_id < held.notification_id {
            *held = known;
        }
    }
    Some(once.into_values().collect())
}

fn changed(feed: &Feed, view: &View, profiles: &[&str], namespaces: &[Known]) -> Vec<Notification> {
    let mut all = Vec::new();
    for known in namespaces {
        let name = &known.namespace_name;
        let ids = profiles.iter().filter_map(|profile| {
            let revision = view.part_changed(profile, name);
            (revision > 0).then(|| (format!("{}+{profile}+{name}", feed.name()), id_of(feed.app(), revision)))
        });
        let details: BTreeMap<_, _> = ids.collect();
        if let Some(&notification_id) = details.values().max().filter(|id| **id > known.notification_id) {
            let messages = Messages { details };
            all.push(Notification { namespace_name: name.clone(), notification_id, messages });
        }
    }
    all
}

/// A client that was told what a namespace holds now, and comes back knowing of its last change, has it.
fn note_what_is_held(
    feed: &Feed,
    view: &View,
    profiles: &[&str],
    present: &[Presence],
    namespaces: &[Known],
) {
    for (profile, presence) in profiles.iter().zip(present) {
        for known in namespaces {
            let revision = view.part_changed(profile, &known.namespace_name);
            if revision == 0 || known.notification_id < id_of(feed.app(), revision) {
                continue;
            }
            let holds = |guest: &NodeFeed| {
                if let Some(part) = view.part(profile, guest.node_id(), &known.namespace_name)
                    && guest.was_told(&part)
                {
                    guest.told_part(&part, true);
                }
            };
            presence.guests().iter().for_each(holds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_are_one_with_the_lower_id() {
        let text = r#"[{"namespaceName":"Db.properties","notificationId":7},{"namespaceName":"db","notificationId":5,"messages":{}},
            {"namespaceName":"a.json"}]"#;
        let read: Vec<_> = namespaces(text)
            .unwrap()
            .into_iter()
            .map(|known| (known.namespace_name, known.notification_id))
            .collect();
        assert_eq!(read, [("a.json".to_owned(), -1), ("db".to_owned(), 5)]);
        for bad in ["", "[]", "{}", "[1]", "[{\"notificationId\":1}]"] {
            assert!(namespaces(bad).is_none(), "{bad}");
        }
        assert_eq!(namespaces("[{\"namespaceName\":\"属性\"}]").unwrap()[0].namespace_name, "属性");
    }

    #[test]
    fn ids_hold_app_and_revision() {
        assert_eq!(revision_of(3, id_of(3, 70_000)), Some(70_000));
        assert_eq!((revision_of(2, id_of(3, 1)), revision_of(3, -1), revision_of(0, 0)), (None, None, None));
        assert!(id_of(4, 1) > id_of(3, i64::from(u32::MAX)) && id_of(2_000_000, 1) < 1 << 53);
    }
}
