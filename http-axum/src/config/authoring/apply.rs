//! `/config/apply`: many changes of a profile at once.

use axum::extract::State;
use pilothouse_core::Error;
use pilothouse_core::config::{
    Applied, AppliedChange, AppliedRelease, Change, ContentChange, ItemChange, NewChangeSet,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::args::LargeArgs;
use crate::config::write::Writer;
use crate::envelope::{Data, Reply, data};
use crate::optional_member::text_or_empty;
use crate::state::ApiState;

/// Changes of a profile, to be made all or none.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigApply {
    /// Name of the app.
    #[schema(min_length = 1, max_length = 64, example = "app2")]
    app: String,
    /// Profile: of `A-Z a-z 0-9 . _ -`, not `.` or `..`.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "test")]
    profile: String,
    /// 1 to 10,000 changes of keys that differ; at most 64 MiB together.
    #[schema(min_items = 1, max_items = 10_000)]
    changes: Vec<KeyChange>,
    /// Title of the change set; at most 256 bytes.
    #[schema(max_length = 256, example = "feature x")]
    title: Option<String>,
    /// Whether to answer what would be done, and do nothing.
    #[schema(default = false, example = false)]
    dry_run: Option<bool>,
    /// Whether to approve the change set as well; takes grant 9.
    #[schema(default = false, example = false)]
    approve: Option<bool>,
    /// Whether to approve the change set and release it to all nodes as well; takes grant 9.
    #[schema(default = false, example = false)]
    publish: Option<bool>,
}

/// Change of one key: created where it is not there, else changed or deleted.
#[derive(Deserialize, ToSchema)]
struct KeyChange {
    /// The key; at most 256 bytes.
    #[schema(min_length = 1, max_length = 256, example = "key")]
    key: String,
    /// The value; at most 1 MiB, may hold TAB, CR and LF. A new key must have one.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(max_length = 1_048_576, example = "val")]
    value: Option<String>,
    /// Validator of the value, as in `/config/create`; at most 65,536 bytes.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(max_length = 65_536, example = "")]
    validator: Option<String>,
    /// Description of the change; at most 4096 bytes, may hold TAB, CR and LF.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(max_length = 4096, example = "desc")]
    description: Option<String>,
    /// Whether the key is to be deleted: at once where nothing of it was ever released, else with the release of the set.
    /// Goes with nothing but `key` and `version`.
    #[schema(default = false, example = false)]
    delete: Option<bool>,
    /// The version the caller saw; 0 where the key was not there.
    #[schema(minimum = 0, example = 0)]
    version: Option<i64>,
}

impl KeyChange {
    fn change(self, index: usize) -> Result<Change, Error> {
        let Self { key, value, validator, description, delete, version } = self;
        let content = ContentChange { id: None, value, validator, description };
        let item = match delete {
            Some(true) if content != ContentChange::default() => {
                let field = format!("changes.{index}.delete");
                return Err(Error::invalid(field, "goes with no value, validator or description"));
            }
            Some(true) => ItemChange::Delete,
            _ => ItemChange::Content(content),
        };
        Ok(Change { key, seen: version, item })
    }
}

/// What was done about a key, or would be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(in crate::config) struct AppliedChangeInfo {
    /// The key.
    #[schema(example = "key")]
    key: String,
    /// Id of the config; 0 for one that a dry run would create.
    #[schema(example = 1)]
    id: i64,
    /// What the change does; `same` where the config says so already.
    #[schema(pattern = "^(create|update|delete|same)$", example = "create")]
    action: &'static str,
    /// The version before; 0 where the key was not there.
    #[schema(example = 0)]
    from: i64,
    /// The version that it has now; 0 for a deletion.
    #[schema(example = 1)]
    version: i64,
    /// Why it cannot be done, in a dry run; empty where it can.
    #[schema(example = "")]
    error: String,
}

/// A change set that was made, or would be.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(in crate::config) struct AppliedInfo {
    /// Id of the change set; 0 in a dry run, and where nothing was to change.
    #[schema(example = 1)]
    pub(super) change_set: i64,
    /// Every change, in the order given.
    pub(super) changes: Vec<AppliedChangeInfo>,
    /// Id of the release that was made; 0 where none was.
    #[schema(example = 0)]
    release: i64,
}

impl From<Applied> for AppliedInfo {
    fn from(Applied { change_set, changes, .. }: Applied) -> Self {
        let changes = changes.into_iter().map(|change| {
            let AppliedChange { key, item, action, from, version, error } = change;
            AppliedChangeInfo {
                key,
                id: item.map_or(0, |item| item.0),
                action: action.as_str(),
                from,
                version,
                error: error.map(|error| error.to_string()).unwrap_or_default(),
            }
        });
        Self { change_set: change_set.map_or(0, |id| id.0), changes: changes.collect(), release: 0 }
    }
}

/// Makes the changes as one change set, all or none. A refusal names each key with its reason; a dry run answers them key by key.
#[utoipa::path(
    post,
    path = "/config/apply",
    tag = "config",
    request_body = ConfigApply,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1; grant 9 to approve, publish and delete what was released"))),
    responses((status = 200, description = "What was done about each key.", body = Data<AppliedInfo>)),
)]
pub(super) async fn config_apply(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    LargeArgs(args): LargeArgs<ConfigApply>,
) -> Reply<Data<AppliedInfo>> {
    let ConfigApply { app, profile, changes, title, dry_run, approve, publish } = args;
    let changes = changes.into_iter().enumerate().map(|(index, change)| change.change(index));
    let new = NewChangeSet {
        app,
        profile,
        changes: changes.collect::<Result<_, _>>()?,
        title: title.unwrap_or_default(),
        dry_run: dry_run.unwrap_or(false),
        approve: approve.unwrap_or(false),
    };
    let change_sets = api.pilothouse.change_sets();
    if publish != Some(true) {
        return data(change_sets.apply(&caller, new).await?.into());
    }
    let AppliedRelease { applied, released } = change_sets.apply_and_publish(&caller, new).await?;
    data(AppliedInfo { release: released.map_or(0, |released| released.release.0), ..applied.into() })
}
