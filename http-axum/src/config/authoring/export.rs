//! `/config/export`: the configs of a profile or an app as a file.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use pilothouse_config_exchange::{Entry, Profile, apollo, json, properties, yaml};
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
    let format: FileFormat = format.parse()?;
    if profile.is_none() && format != FileFormat::Apollo {
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

/// Format of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    Properties,
    Yaml,
    Json,
    Apollo,
}

impl std::str::FromStr for FileFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "properties" => Ok(Self::Properties),
            "yaml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            "apollo" => Ok(Self::Apollo),
            _ => Err(Error::invalid("format", "must be properties, yaml, json or apollo")),
        }
    }
}

impl FileFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Properties => "properties",
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Apollo => "zip",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Properties => "text/plain; charset=utf-8",
            Self::Yaml => "application/yaml; charset=utf-8",
            Self::Json => "application/json",
            Self::Apollo => "application/zip",
        }
    }
}

/// An exported file.
struct File {
    bytes: Vec<u8>,
    /// Number of what it does not hold; `None` where it holds everything.
    dropped: Option<String>,
}

fn file(format: FileFormat, app: &str, exported: Vec<ExportedProfile>) -> Result<File, Error> {
    let items = || exported.iter().flat_map(|profile| &profile.items);
    let validators = items().filter(|item| !item.current.content.validator.is_empty()).count();
    let descriptions = match format {
        FileFormat::Json => items().filter(|item| !item.current.content.description.is_empty()).count(),
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
    let entries = profiles.first().map(|profile| &*profile.entries).unwrap_or_default();
    let bytes = match format {
        FileFormat::Properties => properties::write(entries).into_bytes(),
        FileFormat::Yaml => yaml::write(entries).into_bytes(),
        FileFormat::Json => json::write(entries).into_bytes(),
        FileFormat::Apollo => {
            apollo::write(&profiles).map_err(|failure| Error::Internal(failure.to_string()))?
        }
    };
    Ok(File { bytes, dropped: (!dropped.is_empty()).then(|| dropped.join(", ")) })
}

fn entry(item: Item) -> Entry {
    let content = item.current.content;
    Entry { key: item.key, value: content.value, description: content.description }
}
