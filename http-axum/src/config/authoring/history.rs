//! `/config/history` and `/config/diff`: what a config was, beyond the document.

use axum::extract::State;
use pilothouse_core::config::{
    Content, DiffHunk, HistoryQuery, ItemName, ItemVersion, LineChange, ValueDiff,
};
use pilothouse_core::{Error, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Data, Reply, data};
use crate::optional_member::selector;
use crate::page::{ListReply, listed};
use crate::state::ApiState;

/// A version of a config.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct VersionInfo {
    /// Number of the version, from 1.
    #[schema(example = 1)]
    version: i64,
    /// Value of the version; left out with `values=false`.
    #[schema(example = "sl")]
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Validator of the value, or a script for front ends; left out with `values=false`.
    #[schema(example = "validator")]
    #[serde(skip_serializing_if = "Option::is_none")]
    validator: Option<String>,
    /// Description of the change.
    #[schema(example = "111")]
    description: String,
    /// The uid of who made it.
    #[schema(example = "123123")]
    modifier: String,
    /// Time it was made: RFC 3339 with the offset of the server's zone.
    #[schema(example = "2017-07-12T15:08:12+08:00")]
    modify_time: String,
    /// The uid of who approved it; empty when nobody did.
    #[schema(example = "123123")]
    approver: String,
}

/// Config by name, and part of its history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigHistory {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Key of the config.
    #[param(min_length = 1, max_length = 256, example = "k1")]
    key: String,
    /// Only versions before this one.
    #[param(minimum = 0, example = 1_000_000)]
    before: Option<i64>,
    /// The most versions returned.
    #[param(minimum = 1, maximum = 1000, default = 1000, example = 10)]
    count: Option<i64>,
    /// Whether versions have their values and validators.
    #[param(default = true, example = true)]
    values: Option<bool>,
}

/// Versions of a config, newest first, also of a deleted one.
///
/// An answer has at most 2 MiB of values, validators and descriptions, or one version. Where there are more versions the header
/// `X-Search-Before` is the `before` to go on with.
#[utoipa::path(
    method(get, post),
    path = "/config/history",
    tag = "config",
    params(ConfigHistory),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((
        status = 200,
        description = "The versions.",
        body = Data<Vec<VersionInfo>>,
        headers(("X-Search-Before" = i64, description = "The `before` to go on with, where there are more versions.")),
    )),
)]
pub(super) async fn config_history(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ConfigHistory>,
) -> ListReply<Data<Vec<VersionInfo>>> {
    let ConfigHistory { app, profile, key, before, count, values } = args;
    let has_values = values.unwrap_or(true);
    let query = HistoryQuery { before, count, has_values };
    let versions = api.pilothouse.items().history(&caller, &ItemName { app, profile, key }, query).await?;
    let shown = |version| {
        let ItemVersion { version, content, modifier, modify_time, approver } = version;
        let Content { value, validator, description } = content;
        VersionInfo {
            version,
            value: has_values.then_some(value),
            validator: has_values.then_some(validator),
            description,
            modifier: modifier.to_string(),
            modify_time: api.local(modify_time),
            approver: approver.map(|uid| uid.to_string()).unwrap_or_default(),
        }
    };
    listed(versions, Page::default(), shown, data)
}

/// Versions to compare.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigDiff {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app.
    #[param(min_length = 1, max_length = 64, example = "dev")]
    profile: String,
    /// Key of the config.
    #[param(min_length = 1, max_length = 256, example = "k1")]
    key: String,
    /// The version to compare from; where it is not given the published one, before one an empty value.
    #[serde(default, deserialize_with = "selector")]
    #[param(minimum = 1, example = 1)]
    from: Option<i64>,
    /// The version to compare with; where it is not given the current one, which may be a draft.
    #[serde(default, deserialize_with = "selector")]
    #[param(minimum = 1, example = 1)]
    to: Option<i64>,
    /// `text` by default, or `json` for hunks of lines.
    #[serde(default, deserialize_with = "selector")]
    #[param(pattern = "^(text|json)$", example = "json")]
    form: Option<String>,
}

/// A line of a hunk.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DiffLineInfo {
    /// `context` where it is on both sides.
    #[schema(pattern = "^(context|removed|added)$", example = "added")]
    change: &'static str,
    /// Text with its end of line, which only a last line may lack.
    #[schema(example = "sl")]
    text: String,
}

/// Changed lines with up to three equal ones before and after them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DiffHunkInfo {
    /// Number, from 1, of the first line in the older value.
    #[schema(example = 1)]
    from_line: u32,
    /// Number, from 1, of the first line in the newer value.
    #[schema(example = 1)]
    to_line: u32,
    /// Lines, of a change the removed ones first.
    lines: Vec<DiffLineInfo>,
}

/// Differences between the values of two versions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ValueDiffInfo {
    /// The version that is compared from; 0 where nothing is published.
    #[schema(example = 1)]
    from: i64,
    /// The version that is compared with.
    #[schema(example = 2)]
    to: i64,
    /// Hunks; empty where the values are equal.
    hunks: Vec<DiffHunkInfo>,
}

/// A diff in one of its forms.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum DiffInfo {
    /// Unified diff; empty where the values are equal.
    Text(String),
    /// Hunks of lines.
    Hunks(ValueDiffInfo),
}

/// Diff of the values of two versions of a config: a unified one, or hunks of lines.
#[utoipa::path(
    method(get, post),
    path = "/config/diff",
    tag = "config",
    params(ConfigDiff),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((status = 200, description = "The diff, as text or with `form=json` as hunks.", body = Data<DiffInfo>)),
)]
pub(super) async fn config_diff(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(args): Args<ConfigDiff>,
) -> Reply<Data<DiffInfo>> {
    let ConfigDiff { app, profile, key, from, to, form } = args;
    let (items, name) = (api.pilothouse.items(), ItemName { app, profile, key });
    match form.as_deref() {
        None | Some("text") => data(DiffInfo::Text(items.diff(&caller, &name, from, to).await?)),
        Some("json") => {
            let ValueDiff { from, to, hunks } = items.hunks(&caller, &name, from, to).await?;
            let hunks = hunks.into_iter().map(hunk_info).collect();
            data(DiffInfo::Hunks(ValueDiffInfo { from, to, hunks }))
        }
        Some(_) => Err(Error::invalid("form", "must be text or json").into()),
    }
}

fn hunk_info(hunk: DiffHunk) -> DiffHunkInfo {
    let DiffHunk { from_line, to_line, lines } = hunk;
    let lines = lines.into_iter().map(|line| DiffLineInfo {
        change: match line.change {
            LineChange::Context => "context",
            LineChange::Removed => "removed",
            LineChange::Added => "added",
        },
        text: line.text,
    });
    DiffHunkInfo { from_line, to_line, lines: lines.collect() }
}
