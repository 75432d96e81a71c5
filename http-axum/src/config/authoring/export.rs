//! `/config/export`: the configs of a profile or an app as a file.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use pilothouse_config_exchange::{Entry, Format, Profile};
use pilothouse_core::Error;
use pilothouse_core::config::{ExportedProfile, Item};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::Failure;
use crate::optional_member::selector;
use crate::state::ApiState;

/// What the file does not hold.
const X_DROPPED: HeaderName = HeaderName::from_static("x-dropped");

/// What to export, and how.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ConfigExport {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Profile within the app; of `apollo` all profiles where it is not given, else needed.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<String>, min_length = 1, max_length = 64, example = "dev")]
    profile: Option<String>,
    /// `properties`, `yaml`, `json` or `apollo`.
    #[param(pattern = "^(properties|yaml|json|apollo)$", example = "properties")]
    format: String,
}

/// The current values of a profile as a file, in the order of their creation; as Apollo's archive those of all profiles, with
/// profiles as clusters of the environment `PRO`.
///
/// Descriptions are comments, which JSON has none of. What the file does not hold is counted in the header `X-Dropped`. At most
/// 64 MiB.
#[utoipa::path(
    method(get, post),
    path = "/config/export",
    tag = "config",
    params(ConfigExport),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 0"))),
    responses((
        status = 200,
        description = "The file.",
        content((String = "text/plain"), (String = "application/yaml"), (String = "application/json"), (Vec<u8> = "application/zip")),
        headers(("X-Dropped" = String, description = "Number of validators, and of descriptions in JSON, that the file does not hold.")),
    )),
)]
pub(super) async fn config_export(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(ConfigExport { app, profile, format }): Args<ConfigExport>,
) -> Result<Response, Failure> {
    let format = Format::from_name(&format).filter(|format| Format::WRITTEN.contains(format));
    let format =
        format.ok_or_else(|| Error::invalid("format", "must be properties, yaml, json or apollo"))?;
    if profile.is_none() && format != Format::Apollo {
        return Err(Error::invalid("profile", "is missing, which only apollo does without").into());
    }
    let exported = api.pilothouse.items().export(&caller, &app, profile.as_deref()).await?;
    let name = profile.map_or_else(|| app.clone(), |profile| format!("{app}-{profile}"));
    // Encoding 64 MiB takes long enough to keep others waiting.
    let file = tokio::task::spawn_blocking(move || file(format, &app, exported)).await;
    let File { bytes, dropped } = file.map_err(|error| Error::Internal(format!("an export: {error}")))??;
    let disposition = format!("attachment; filename=\"{name}.{}\"", format.extension());
    let headers = [
        (header::CONTENT_TYPE, Some(format.content_type().to_owned())),
        (header::CONTENT_DISPOSITION, Some(disposition)),
        (X_DROPPED, dropped),
    ];
    let mut response = bytes.into_response();
    for (name, value) in headers {
        // None of them holds what a header may not.
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// An exported file.
struct File {
    bytes: Vec<u8>,
    /// Number of what it does not hold; `None` where it holds everything.
    dropped: Option<String>,
}

fn file(format: Format, app: &str, exported: Vec<ExportedProfile>) -> Result<File, Error> {
    let items = || exported.iter().flat_map(|profile| &profile.items);
    let validators = items().filter(|item| !item.current.content.validator.is_empty()).count();
    let descriptions = match format {
        Format::Json => items().filter(|item| !item.current.content.description.is_empty()).count(),
        _ => 0,
    };
    let counts = [(validators, "validators"), (descriptions, "descriptions")];
    let dropped: Vec<_> =
        counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    let profiles: Vec<_> = exported
        .into_iter()
        .map(|ExportedProfile { profile, items }| {
            let entries = items.into_iter().map(entry).collect();
            Profile { app: app.to_owned(), profile, entries }
        })
        .collect();
    let bytes = format.write(&profiles).map_err(|failure| Error::Internal(failure.to_string()))?;
    Ok(File { bytes, dropped: (!dropped.is_empty()).then(|| dropped.join(", ")) })
}

fn entry(item: Item) -> Entry {
    let content = item.current.content;
    Entry { key: item.key, value: content.value, description: content.description }
}
