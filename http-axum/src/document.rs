//! Completes the API document: what the routes cannot say about themselves one by one.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{Discriminator, SchemaType};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContactBuilder, Content, HeaderBuilder, InfoBuilder, LicenseBuilder, Object, ObjectBuilder,
    OneOfBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema, ServerBuilder, Type,
};

use crate::config;
use crate::envelope::Family;

const ABOUT: &str = "One control room for a small fleet: accounts, machines and release tasks; configuration; CDN.

Every answer is in the envelope of its family. The ops family (`/api`, `/admin`) succeeds with `\"code\": 200` and its \
answer in `info`; the config family (`/app`, `/userauth`, `/config`, `/node`, `/publish`, `/audit`) with `\"code\": 0` \
and `data`; the cdn family (`/level3`, `/useful`) with `\"err\": 0` beside the members of the answer. Most failures come \
with HTTP 200 too: the code decides. Apollo's paths have no envelope: there the HTTP status does.

Integers may be written as decimal strings, booleans as `true` and `false` in strings. Unknown query parameters are \
ignored, unknown members of a body are refused. Passwords and tokens are never taken from a query string. Every text is \
UTF-8 without control characters, except where it says otherwise.";

const TAGS: [(&str, &str); 5] = [
    ("ops", "Accounts, machines and release tasks."),
    ("config", "The configuration centre."),
    ("cdn", "CDN customers, their domains and traffic."),
    ("apollo", "The reading side of Apollo's protocol, for programs that have its client."),
    ("health", "Whether the process lives and can serve."),
];

/// The failures that have an HTTP status of their own: its name in the document, and what it means.
const FAILURES: [(&str, &str, &str); 8] = [
    ("400", "BadRequest", "The bytes are not the declared JSON or form."),
    ("403", "Forbidden", "Not authenticated, or not permitted."),
    ("405", "MethodNotAllowed", "The settings allow no writes by GET."),
    ("408", "Timeout", "The request took too long."),
    ("413", "TooLarge", "The body is longer than 8 MiB."),
    ("429", "TooMany", "Too many requests."),
    ("500", "Internal", "Our own fault; the text names the request's id."),
    ("503", "Unavailable", "Something the server depends on is down or not set up."),
];

/// Completes the document of these routes, served under `prefix`.
pub(crate) fn complete(mut document: OpenApi, prefix: &str) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("Pilothouse")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .contact(Some(ContactBuilder::new().name(Some("Pilothouse")).build()))
        .license(Some(LicenseBuilder::new().name("Apache-2.0 OR MIT").build()))
        .build();
    if !prefix.is_empty() {
        document.servers = Some(vec![ServerBuilder::new().url(prefix).build()]);
    }
    let mut components = document.components.take().unwrap_or_default();
    name_actions(&mut components);
    let mut tags = Vec::new();
    for family in [Family::Ops, Family::Config, Family::Cdn] {
        failure_name(family, &mut components);
    }
    for (path, item) in &mut document.paths.paths {
        if Family::of(path) == Family::Config {
            config::describe_post(path, item, &mut components);
        }
        for (method, operation) in operations(item) {
            let family = Family::of(path);
            finish(operation, &format!("{method}{path}"), family, &mut components);
            tags.extend(operation.tags.iter().flatten().cloned());
        }
    }
    let described = TAGS.into_iter().filter(|(name, _)| tags.iter().any(|tag| tag == name));
    let described =
        described.map(|(name, about)| TagBuilder::new().name(name).description(Some(about)).build());
    document.tags = Some(described.collect());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token from /admin/user_login, or for the cdn family from /level3/login; for nodes an app key.",
    ));
    let signed = ApiKeyValue::with_description(
        "Authorization",
        "`Apollo <appId>:<signature>`: base64 of HMAC-SHA1, with an app key, over the header `Timestamp` (milliseconds), a \
         line feed, and the path with its query.",
    );
    components.add_security_scheme("apollo", SecurityScheme::ApiKey(ApiKey::Header(signed)));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    document.components = Some(components);
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Gives an operation its id, says whom it is for, and adds the failures of its family.
fn finish(operation: &mut Operation, name: &str, family: Family, components: &mut Components) {
    let words = name.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    operation.operation_id = Some(words.collect::<Vec<_>>().join("_"));
    let permission = operation.extensions.as_ref().and_then(|more| more.get("x-permission")?.as_str());
    let permission = format!("Permission: {}.", permission.unwrap_or("none"));
    let told = operation.description.iter().filter(|text| !text.is_empty()).cloned().chain([permission]);
    operation.description = Some(told.collect::<Vec<_>>().join("\n\n"));

    let health = operation.tags.iter().flatten().any(|tag| tag == "health");
    let success = operation.responses.responses.get_mut("200");
    if let Some(RefOr::T(Response { content, .. })) = success.filter(|_| !health && family != Family::Apollo)
    {
        let failure = Ref::from_schema_name(failure_name(family, components));
        let told = match content.swap_remove("application/json") {
            Some(RefOr::T(Content { schema: Some(success), .. })) => {
                Content::new(Some(OneOfBuilder::new().item(success).item(failure)))
            }
            _ => Content::new(Some(failure)),
        };
        content.insert("application/json".to_owned(), told.into());
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('4')
            && response.content.is_empty()
        {
            let failure = Ref::from_schema_name(failure_name(family, components));
            response.content.insert("application/json".to_owned(), Content::new(Some(failure)).into());
        }
    }
    for (status, name, about) in FAILURES {
        let possible = match status {
            "403" | "503" => family == Family::Ops && !health,
            "405" => family == Family::Config,
            "408" | "500" => true,
            "429" => !health && family != Family::Apollo,
            _ => !health,
        };
        let known = operation.responses.responses.contains_key(status);
        if possible && !known {
            let response = failure_response(family, status, name, about, components);
            operation.responses.responses.insert(status.to_owned(), response);
        }
    }
}

/// The shared response of a family's failure, made where it is new.
fn failure_response(
    family: Family,
    status: &str,
    name: &str,
    about: &str,
    components: &mut Components,
) -> RefOr<Response> {
    let schema = Ref::from_schema_name(failure_name(family, components));
    let name = format!("{family:?}{name}");
    let mut response =
        ResponseBuilder::new().description(about).content("application/json", Content::new(Some(schema)));
    if status == "429" {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let wait = HeaderBuilder::new()
            .description(Some("Seconds until it is worth trying again."))
            .schema(Some(seconds));
        response = response.header("Retry-After", wait.build());
    }
    components.responses.entry(name.clone()).or_insert_with(|| response.build().into());
    Ref::from_response_name(name).into()
}

/// The shared schema of a family's failures, made where it is new.
fn failure_name(family: Family, components: &mut Components) -> String {
    let (code, text, about, codes) = match family {
        Family::Ops => (
            "code",
            "info",
            "400 invalid argument, 403 not authenticated or not permitted, 404 does not exist, 405 wrong method, \
             408 took too long, 409 exists already or conflicts, 413 too long, 429 too many requests, 500 our own \
             fault or something we depend on.",
            &[400, 403, 404, 405, 408, 409, 413, 429, 500][..],
        ),
        Family::Apollo => (
            "status",
            "message",
            "The HTTP status: 400 invalid argument, 401 not signed with a key of the app, 404 nothing published there.",
            &[400, 401, 404, 405, 408, 413, 429, 500, 503][..],
        ),
        Family::Config | Family::Cdn => (
            if family == Family::Cdn { "err" } else { "code" },
            "msg",
            "1 our own fault or something we depend on, 2 invalid argument or too many requests, 3 not \
             authenticated, 4 not permitted, 5 exists already, 6 does not exist, 7 stale version or conflict.",
            &[1, 2, 3, 4, 5, 6, 7][..],
        ),
    };
    let name = format!("{family:?}Failure");
    components.schemas.entry(name.clone()).or_insert_with(|| {
        let kind = ObjectBuilder::new().schema_type(Type::Integer);
        let kind = kind.description(Some(about)).enum_values(Some(codes.iter().copied()));
        let why = ObjectBuilder::new().schema_type(Type::String);
        let why = why.description(Some("Why, with the parameter and its limit."));
        let failure = ObjectBuilder::new().description(Some("A failure."));
        failure.property(code, kind).required(code).property(text, why).required(text).into()
    });
    name
}

/// Gives the bodies that differ by their `action` names of their own, so that generators can tell them apart by it.
fn name_actions(components: &mut Components) {
    let mut named = Vec::new();
    for (name, schema) in &mut components.schemas {
        let RefOr::T(Schema::OneOf(choice)) = schema else { continue };
        let actions: Option<Vec<String>> = choice.items.iter().map(action).collect();
        let Some(actions) = actions else { continue };
        let names = actions.iter().map(|action| format!("{name}_{action}"));
        let pairs: Vec<(String, String)> = actions.iter().cloned().zip(names).collect();
        for (item, (_, name)) in choice.items.iter_mut().zip(&pairs) {
            named.push((name.clone(), std::mem::replace(item, Ref::from_schema_name(name).into())));
        }
        let mapping = pairs.iter().map(|(action, name)| (action, Ref::from_schema_name(name).ref_location));
        choice.discriminator = Some(Discriminator::with_mapping("action", mapping));
        choice.schema_type = SchemaType::AnyValue;
    }
    components.schemas.extend(named);
}

/// The one value that a body's `action` must have.
fn action(body: &RefOr<Schema>) -> Option<String> {
    let RefOr::T(Schema::Object(Object { properties, .. })) = body else { return None };
    let RefOr::T(Schema::Object(Object { enum_values: Some(values), .. })) = properties.get("action")? else {
        return None;
    };
    match &values[..] {
        [value] => value.as_str().map(str::to_owned),
        _ => None,
    }
}
