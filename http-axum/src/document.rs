//! Completes the API document: what the routes cannot say about themselves one by one.

use std::collections::BTreeSet;

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, Discriminator, SchemaType};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContactBuilder, Content, HeaderBuilder, InfoBuilder, LicenseBuilder, Object, ObjectBuilder,
    OneOfBuilder, OpenApi, Paths, Ref, RefOr, Response, ResponseBuilder, Schema, ServerBuilder, Type,
};

use crate::config;
use crate::envelope::constant;
use crate::family::Family;

const ABOUT: &str = "One control room for a small fleet: accounts, machines and release tasks; configuration; CDN.

Every answer is in the envelope of its family. The ops family (`/api`, `/admin`) succeeds with `\"code\": 200`, `\"ok\": true` and \
its answer in `info`; the config family (`/app`, `/userauth`, `/config`, `/changeset`, `/node`, `/publish`, `/audit`) with `\"code\": 0` \
and `data`; the cdn family (`/level3`, `/useful`) with `\"err\": 0` beside the members of the answer. Most failures come \
with HTTP 200 too: the code decides. Apollo's paths have no envelope: there the HTTP status does.

Bodies are JSON, forms or multipart forms. Integers may be written as decimal strings, booleans as 0 and 1 or as \
strings, texts as numbers. Lists are written `a,b`, `x[]=`, `x[0]=`, `x.0=` or as a JSON array. Unknown parameters are \
refused by name, except `_`, `callback` and `utm_*`. Passwords and tokens are never taken from a query string. Every text is \
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
    ("408", "Timeout", "The body took too long to arrive."),
    ("413", "TooLarge", "The body is longer than 8 MiB, or than 64 MiB where the operation takes that."),
    ("429", "TooMany", "Too many requests."),
    ("500", "Internal", "Our own fault; the text names the request's id."),
    (
        "503",
        "Unavailable",
        "The store is out of reach or overloaded, or the request took too long: `done` says whether it may have been done. \
         In the ops family also something else the server depends on is down or not set up.",
    ),
];

/// Refusals of a request's head, before it is known which operation it is for. They have no body.
const BARE_FAILURES: [(&str, &str, &str); 2] = [
    ("414", "UriTooLong", "The URL is longer than 64 KiB. Without a body."),
    ("431", "HeadTooLarge", "URL and headers together are longer than 96 KiB. Without a body."),
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
            if matches!(family, Family::Ops | Family::Cdn) {
                add_forms(operation, &mut components);
            }
            finish(operation, &format!("{method}{path}"), family, &mut components);
            tags.extend(operation.tags.iter().flatten().cloned());
        }
    }
    close_bodies(&mut document.paths, &mut components);
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

/// Says of an operation with a JSON body that it takes forms with the same members, too. A form has no objects: where the
/// body has an `action` and its `data`, the data is JSON in the field.
fn add_forms(operation: &mut Operation, components: &mut Components) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    let Some(RefOr::T(Content { schema: Some(schema), .. })) = body.content.get("application/json") else {
        return;
    };
    let schema = schema.clone();
    let named = match &schema {
        RefOr::Ref(reference) => reference.ref_location.rsplit('/').next().unwrap_or_default(),
        RefOr::T(_) => "",
    };
    let has_action = matches!(
        components.schemas.get(named),
        Some(RefOr::T(Schema::OneOf(choice))) if choice.discriminator.is_some()
    );
    let schema = if has_action { action_form(components) } else { schema };
    for media in ["application/x-www-form-urlencoded", "multipart/form-data"] {
        body.content.insert(media.to_owned(), Content::new(Some(schema.clone())).into());
    }
}

/// The shared schema of a form with an action and its data, made where it is new.
fn action_form(components: &mut Components) -> RefOr<Schema> {
    let text = |about: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String).description(Some(about));
        text.max_length(Some(8 << 20))
    };
    let form = ObjectBuilder::new()
        .description(Some("What to do, and its data as JSON."))
        .property("action", text("The action."))
        .property("data", text("The data of the action: its JSON."))
        .required("action")
        .required("data");
    components.schemas.entry("ActionForm".to_owned()).or_insert_with(|| form.into());
    Ref::from_schema_name("ActionForm").into()
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
    for (status, name, about) in BARE_FAILURES {
        let response = ResponseBuilder::new().description(about).build();
        components.responses.entry(name.to_owned()).or_insert_with(|| response.into());
        operation.responses.responses.insert(status.to_owned(), Ref::from_response_name(name).into());
    }
    for (status, name, about) in FAILURES {
        let possible = match status {
            "403" => family == Family::Ops && !health,
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
    if matches!(status, "429" | "503") {
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
             408 the body took too long, 409 exists already or conflicts, 413 too long, 416 no such range, 429 too many requests, 500 our own \
             fault or something we depend on, 503 out of reach or out of time.",
            &[400, 403, 404, 405, 408, 409, 413, 416, 429, 500, 503][..],
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
        let done = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["no", "unknown"]));
        let done = done.description(Some(
            "With HTTP 503 alone: `no`, surely nothing was done, and the request may be repeated after `Retry-After`; \
             `unknown`, it may have been done: look before it is repeated.",
        ));
        let failure = failure.property(code, kind).required(code).property(text, why).required(text);
        let mut failure = failure.property("done", done);
        if family == Family::Ops {
            failure = failure.property("ok", constant::<false>()).required("ok");
        }
        failure.into()
    });
    name
}

/// Says of every object in a request body that it has no members but those it names.
fn close_bodies(paths: &mut Paths, components: &mut Components) {
    let mut named = Vec::new();
    for item in paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            let Some(RefOr::T(body)) = &mut operation.request_body else { continue };
            for content in body.content.values_mut() {
                if let RefOr::T(Content { schema: Some(schema), .. }) = content {
                    close(schema, &mut named);
                }
            }
        }
    }
    let mut closed = BTreeSet::new();
    while let Some(name) = named.pop() {
        if let Some(schema) = components.schemas.get_mut(&name)
            && closed.insert(name)
        {
            close(schema, &mut named);
        }
    }
}

/// Closes the objects of a schema, and adds the names of those that it refers to.
fn close(schema: &mut RefOr<Schema>, named: &mut Vec<String>) {
    match schema {
        RefOr::Ref(reference) => named.extend(reference.ref_location.rsplit('/').next().map(str::to_owned)),
        RefOr::T(Schema::Object(object)) => {
            object.properties.values_mut().for_each(|property| close(property, named));
            if !object.properties.is_empty() {
                object.additional_properties.get_or_insert(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                close(items, named);
            }
        }
        RefOr::T(Schema::OneOf(choice)) => choice.items.iter_mut().for_each(|item| close(item, named)),
        RefOr::T(_) => {}
    }
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
