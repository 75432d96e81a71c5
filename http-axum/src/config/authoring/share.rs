//! `/app/share`: a namespace for the Apollo clients of all apps.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::args::Args;
use crate::config::write::{Null, Writer, done};
use crate::envelope::{Data, Reply};
use crate::state::ApiState;

/// Namespace to share, or to withdraw.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AppShare {
    /// Name of the app.
    #[param(min_length = 1, max_length = 64, example = "app1")]
    app: String,
    /// Namespace of the app, as Apollo clients name it; not `application`.
    #[param(min_length = 1, max_length = 255, example = "middleware")]
    namespace: String,
    /// Whether it is shared from now on.
    #[param(example = true)]
    shared: bool,
}

/// Shares a namespace with the Apollo clients of all apps, or withdraws it. They get what the app publishes in it in the
/// profile that they ask for, else in `default`; keys that their own app has in a namespace of that name come on top. A second
/// app that shares the name is 5.
#[utoipa::path(
    method(get, post),
    path = "/app/share",
    tag = "config",
    params(AppShare),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("grant 9"))),
    responses((status = 200, description = "Shared or withdrawn.", body = Data<Null>)),
)]
pub(super) async fn app_share(
    State(api): State<ApiState>,
    Writer(caller): Writer,
    Args(args): Args<AppShare>,
) -> Reply<Data<Null>> {
    api.pilothouse.apps().share(&caller, &args.app, &args.namespace, args.shared).await?;
    done()
}
