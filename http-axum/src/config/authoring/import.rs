//! `/config/import`: a file as change sets.

use axum::extract::{Request, State};
use pilothouse_config_exchange::{Dropped, Entry, Format, Profile, Target};
use pilothouse_core::Error;
use pilothouse_core::config::{Change, ContentChange, Imported, ItemChange, NewChangeSet};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::apply::{AppliedChangeInfo, AppliedInfo};
use crate::args::{large_body, query};
use crate::config::write::Writer;
use crate::envelope::{Data, Reply, data};
use crate::optional_member::selector;
use crate::state::ApiState;

/// Where a file belongs, and what it is.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigImport {
    /// Name of the app; of `apollo` one of the archive's, or the name that its only one gets, and optional.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, example = "app1")]
    app: Option<String>,
    /// Profile within the app; of `apollo` one of its clusters, and optional.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$", example = "dev")]
    profile: Option<String>,
    /// `properties`, `yaml`, `json`, `apollo` or `nacos`.
    #[param(pattern = "^(properties|yaml|json|apollo|nacos)$", example = "properties")]
    format: String,
    /// Of `apollo`: the environment, where the archive has several.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, example = "PRO")]
    env: Option<String>,
    /// Title of the change sets; at most 256 bytes.
    #[param(max_length = 256, example = "moved")]
    title: Option<String>,
    /// Whether to answer what would be done, and do nothing.
    #[param(default = false, example = false)]
    dry_run: Option<bool>,
}

/// Outcome of an import.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImportInfo {
    /// Id of the first change set; 0 in a dry run, and where nothing was to change.
    #[schema(example = 1)]
    change_set: i64,
    /// Every key of every profile, in the order of the file.
    changes: Vec<ImportedChangeInfo>,
    /// The profiles, each with its change set.
    profiles: Vec<ImportedProfileInfo>,
    /// What the file says and was left out, with file and line; of more than 1,000 the first, and how many more.
    #[schema(example = json!(["body line 1: a comment that stands above no key: head"]))]
    dropped: Vec<String>,
}

/// A key that was imported, as `/config/apply` answers it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImportedChangeInfo {
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// The profile.
    #[schema(example = "dev")]
    profile: String,
    #[serde(flatten)]
    change: AppliedChangeInfo,
}

/// A profile that was imported.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImportedProfileInfo {
    /// Name of the app.
    #[schema(example = "app1")]
    app: String,
    /// The profile.
    #[schema(example = "dev")]
    profile: String,
    /// Id of its change set; 0 in a dry run, and where nothing was to change.
    #[schema(example = 1)]
    change_set: i64,
}

/// Creates and changes what a file says, as one change set for each profile; what it does not say stays. The parameters are in
/// the query, the body is the file as it is, at most 64 MiB with 10,000 keys.
///
/// Comment lines directly above a key become its description. YAML and JSON are flattened to dotted keys. Of Apollo's archives,
/// clusters are profiles. Of Nacos's, keys are data ids of `DEFAULT_GROUP`, else `group/dataId`. With several profiles nothing is
/// done where one of them cannot be.
#[utoipa::path(
    post,
    path = "/config/import",
    tag = "config",
    params(ConfigImport),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The file."),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 1"))),
    responses((status = 200, description = "What was done about each key.", body = Data<ImportInfo>)),
)]
pub(super) async fn config_import(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    request: Request,
) -> Reply<Data<ImportInfo>> {
    let (parts, content) = request.into_parts();
    let args: ConfigImport = query(&parts.uri)?;
    let format = format_of(&args)?;
    let sets = api.pilothouse.change_sets();
    // A body that cannot be taken is not worth waiting for.
    sets.check_caller(&caller, args.app.as_deref(), args.profile.as_deref()).await?;
    let content = large_body(&parts.headers, content).await?;
    let (title, dry_run) = (args.title.clone().unwrap_or_default(), args.dry_run.unwrap_or(false));
    // Unpacking and reading 64 MiB takes long enough to keep others waiting.
    let file = tokio::task::spawn_blocking(move || read(format, &args, &content)).await;
    let (profiles, dropped) = file.map_err(|error| Error::Internal(format!("an import: {error}")))??;
    let new = profiles.into_iter().filter(|profile| !profile.entries.is_empty());
    let new = new.map(|Profile { app, profile, entries }| {
        let changes = entries.into_iter().map(change).collect();
        NewChangeSet { app, profile, changes, title: title.clone(), dry_run, ..NewChangeSet::default() }
    });
    data(info(sets.import(&caller, new.collect()).await?, dropped))
}

/// The format, with all of the place that it needs and nothing that it does not take.
fn format_of(args: &ConfigImport) -> Result<Format, Error> {
    let format = Format::from_name(&args.format)
        .ok_or_else(|| Error::invalid("format", "must be properties, yaml, json, apollo or nacos"))?;
    if format == Format::Apollo {
        return Ok(format);
    }
    for (name, value) in [("app", &args.app), ("profile", &args.profile)] {
        if value.is_none() {
            return Err(Error::invalid(name, "is missing, which only apollo does without"));
        }
    }
    match &args.env {
        Some(_) => Err(Error::invalid("env", "goes with apollo only")),
        None => Ok(format),
    }
}

/// Name of the file in errors and lists.
const FILE: &str = "body";

fn read(format: Format, args: &ConfigImport, content: &[u8]) -> Result<(Vec<Profile>, Dropped), Error> {
    let ConfigImport { app, profile, env, .. } = args;
    let target = Target { app: app.as_deref(), profile: profile.as_deref(), env: env.as_deref() };
    format.read(FILE, content, target).map_err(|failure| Error::invalid(failure.place, failure.reason))
}

/// What an entry changes: what it does not say stays.
fn change(entry: Entry) -> Change {
    let Entry { key, value, description } = entry;
    let description = Some(description).filter(|description| !description.is_empty());
    let content = ContentChange { value: Some(value), description, ..ContentChange::default() };
    Change { key, seen: None, item: ItemChange::Content(content) }
}

fn info(imported: Vec<Imported>, dropped: Dropped) -> ImportInfo {
    let (mut changes, mut profiles) = (Vec::new(), Vec::new());
    for Imported { app, profile, applied, .. } in imported {
        let AppliedInfo { change_set, changes: of_profile, .. } = applied.into();
        let place = |change| ImportedChangeInfo { app: app.clone(), profile: profile.clone(), change };
        changes.extend(of_profile.into_iter().map(place));
        profiles.push(ImportedProfileInfo { app, profile, change_set });
    }
    let change_set = profiles.iter().map(|profile| profile.change_set).find(|id| *id > 0).unwrap_or(0);
    ImportInfo { change_set, changes, profiles, dropped: dropped.into_texts() }
}
