//! The routers, and the API document that is made with them.

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::envelope::Family;
use crate::guard::{Guard, guard, no_such_path};
use crate::state::ApiState;
use crate::{account, cdn, config, docs, document, health, ops};

/// All three families with health checks, `/openapi.json` and `/docs`.
pub fn router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    let (routes, paths) = all_routes().split_for_parts();
    let document = document::complete(paths, &state.settings.prefix);
    (guarded(routes.merge(docs::routes(&document)), None, state), document)
}

/// The ops family alone: `/api/*` and `/admin/*`.
pub fn ops_router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    alone(ops::routes().merge(account::routes()), Family::Ops, state)
}

/// The config family alone: `/app/*`, `/userauth/*`, `/config/*`, `/node/*`, `/publish` and `/audit/*`.
pub fn config_router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    alone(config::routes(), Family::Config, state)
}

/// The cdn family alone: `/level3/*` and `/useful/*`.
pub fn cdn_router<S: Clone + Send + Sync + 'static>(state: ApiState) -> (Router<S>, OpenApi) {
    alone(cdn::routes(), Family::Cdn, state)
}

fn all_routes() -> OpenApiRouter<ApiState> {
    ops::routes()
        .merge(account::routes())
        .merge(config::routes())
        .merge(cdn::routes())
        .merge(health::routes())
}

fn alone<S: Clone + Send + Sync + 'static>(
    routes: OpenApiRouter<ApiState>,
    family: Family,
    state: ApiState,
) -> (Router<S>, OpenApi) {
    let (routes, paths) = routes.split_for_parts();
    let document = document::complete(paths, &state.settings.prefix);
    (guarded(routes, Some(family), state), document)
}

/// Completes the document: what it is about, and what every operation of a family may answer besides success.
fn describe(paths: OpenApi, prefix: &str) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Pilothouse")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "One control room for a small fleet: accounts, machines and release tasks; configuration; CDN.",
        ))
        .contact(Some(ContactBuilder::new().name(Some("Pilothouse")).build()))
        .license(Some(utoipa::openapi::LicenseBuilder::new().name("Apache-2.0 OR MIT").build()));
    let mut document = OpenApiBuilder::from(paths).info(info.build());
    if !prefix.is_empty() {
        document = document.servers(Some([ServerBuilder::new().url(prefix).build()]));
    }
    let mut document = json!(document.build());
    add_failures(&mut document);
    // The routes decide, not the request: a test sees it, or nobody does.
    serde_json::from_value(document).expect("what was added leaves it an OpenAPI document")
}

/// Adds to every operation the failures of its family, which are the same for all of them.
fn add_failures(document: &mut Value) {
    for (name, member) in [("OpsFailure", "code"), ("ConfigFailure", "code"), ("CdnFailure", "err")] {
        let text = if name == "OpsFailure" { "info" } else { "msg" };
        document["components"]["schemas"][name] = json!({
            "type": "object",
            "required": [member, text],
            "properties": {
                member: { "type": "integer", "description": "What kind of failure it is." },
                text: { "type": "string", "description": "Why, with the parameter and its limit." },
            },
        });
    }
    document["components"]["securitySchemes"]["bearer"] = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "A token from /admin/user_login, or for the cdn family from /level3/login.",
    });
    let Some(paths) = document["paths"].as_object_mut() else { return };
    config::describe_posts(paths);
    for (path, operations) in paths {
        let family = Family::of(path);
        let schema = json!({ "$ref": match family {
            Family::Ops => "#/components/schemas/OpsFailure",
            Family::Config => "#/components/schemas/ConfigFailure",
            Family::Cdn => "#/components/schemas/CdnFailure",
        }});
        for operation in operations.as_object_mut().into_iter().flat_map(|operations| operations.values_mut())
        {
            if operation["tags"][0] == "health" {
                continue;
            }
            let content = &mut operation["responses"]["200"]["content"]["application/json"]["schema"];
            if !content.is_null() {
                let success = content.take();
                *content = json!({ "oneOf": [success, schema] });
            }
            let mut statuses = vec![
                ("400", "The bytes are not the declared JSON or form."),
                ("408", "The request took too long."),
                ("413", "The body is longer than 8 MiB."),
                ("429", "Too many requests; Retry-After says when to try again."),
                ("500", "Our own fault; the text names the request's id."),
            ];
            if family == Family::Ops {
                statuses.push(("403", "Not authenticated, or not permitted."));
                statuses.push(("503", "Something the server depends on is down or not set up."));
            }
            for (status, description) in statuses {
                let failure = json!({
                    "description": description,
                    "content": { "application/json": { "schema": schema } },
                });
                if operation["responses"][status].is_null() {
                    operation["responses"][status] = failure;
                }
            }
        }
    }
fn guarded<S: Clone + Send + Sync + 'static>(
    routes: Router<ApiState>,
    family: Option<Family>,
    state: ApiState,
) -> Router<S> {
    let around = Guard { api: state.clone(), family };
    routes.fallback(no_such_path).layer(from_fn_with_state(around, guard)).with_state(state)
}
