//! `/level3/cdn`: the cdns. Deprecated by the document, and answered with a header that says so.

use axum::extract::State;
use pilothouse_core::cdn::{Cdn, CdnId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::args::{Args, NoArgs};
use crate::caller::Auth;
use crate::envelope::{Done, Failure, Reply, done};
use crate::state::ApiState;

/// Date of the deprecation (RFC 9745). The document gives none; this is the first day after its samples.
const DEPRECATION: [(&str, &str); 1] = [("deprecation", "@1475280000")];

/// A success that says that its operation is deprecated.
type Deprecated<T> = Result<([(&'static str, &'static str); 1], axum::Json<Done<T>>), Failure>;

fn deprecated<T>(answer: Reply<Done<T>>) -> Deprecated<T> {
    Ok((DEPRECATION, answer?))
}

#[expect(deprecated, reason = "their attribute marks them in the API document")]
pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(get_cdn, post_cdn, put_cdn))
}

/// All cdns of the server.
#[derive(Serialize, ToSchema)]
pub(super) struct CdnList {
    /// Rows by ascending id.
    results: Vec<CdnRow>,
}

/// A cdn in the list.
#[derive(Serialize, ToSchema)]
pub(super) struct CdnRow {
    /// Id of the cdn.
    #[schema(example = 1)]
    id: i64,
    /// Name of the cdn, unique.
    #[schema(example = "level3")]
    name: String,
}

/// Lists the cdns: with group 8 all, else those the caller is mapped to.
#[utoipa::path(
    get,
    path = "/level3/cdn",
    tag = "cdn",
    security(("bearer" = [])),
    extensions(("x-permission" = json!("any customer; group 8 for all"))),
    responses((
        status = 200, description = "The cdns.", body = Done<CdnList>,
        headers(("Deprecation" = String, description = "Since when.")),
    )),
)]
#[deprecated]
async fn get_cdn(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(NoArgs {}): Args<NoArgs>,
) -> Deprecated<CdnList> {
    let cdns = api.pilothouse.cdns().list(&caller).await?;
    let results = cdns.into_iter().map(|Cdn { id, name }| CdnRow { id: id.0, name }).collect();
    deprecated(done(CdnList { results }))
}

/// A cdn as it is answered after a change.
#[derive(Serialize, ToSchema)]
pub(super) struct ChangedCdn {
    /// Name of the cdn, unique.
    #[schema(example = "maichuang")]
    cdn: String,
    /// Id of the cdn.
    #[schema(example = 3)]
    id: i64,
}

/// A cdn to be added.
#[derive(Deserialize, ToSchema)]
pub(super) struct AddCdn {
    /// Name: letters, digits, `.`, `_` and `-`.
    #[schema(min_length = 1, max_length = 64, example = "maichuang")]
    cdn: String,
}

/// Adds a cdn without a provider.
#[utoipa::path(
    post,
    path = "/level3/cdn",
    tag = "cdn",
    request_body = AddCdn,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((
        status = 200, description = "The cdn.", body = Done<ChangedCdn>,
        headers(("Deprecation" = String, description = "Since when.")),
    )),
)]
#[deprecated]
async fn post_cdn(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(add): Args<AddCdn>,
) -> Deprecated<ChangedCdn> {
    let Cdn { id, name } = api.pilothouse.cdns().add(&caller, &add.cdn).await?;
    deprecated(done(ChangedCdn { cdn: name, id: id.0 }))
}

/// A cdn's new name.
#[derive(Deserialize, ToSchema)]
pub(super) struct RenameCdn {
    /// Id of the cdn.
    #[schema(example = 3)]
    id: i64,
    /// New name: letters, digits, `.`, `_` and `-`.
    #[schema(min_length = 1, max_length = 64, example = "Maichuang")]
    cdn: String,
}

/// Renames a cdn. One that the settings configure keeps its name.
#[utoipa::path(
    put,
    path = "/level3/cdn",
    tag = "cdn",
    request_body = RenameCdn,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 8"))),
    responses((
        status = 200, description = "The cdn.", body = Done<ChangedCdn>,
        headers(("Deprecation" = String, description = "Since when.")),
    )),
)]
#[deprecated]
async fn put_cdn(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(rename): Args<RenameCdn>,
) -> Deprecated<ChangedCdn> {
    let Cdn { id, name } = api.pilothouse.cdns().rename(&caller, CdnId(rename.id), &rename.cdn).await?;
    deprecated(done(ChangedCdn { cdn: name, id: id.0 }))
}
