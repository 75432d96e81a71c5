//! API document of operations that take their parameters by GET and by POST.

use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::openapi::{Components, Content, Ref, RefOr, Required};

use crate::query::is_secret;

/// Gives the POST of an operation that is a GET too a body, JSON or form, in the place of its query parameters. Secrets are
/// taken from there alone.
pub(crate) fn describe_post(path: &str, item: &mut PathItem, components: &mut Components) {
    let (Some(get), Some(post)) = (&mut item.get, &mut item.post) else { return };
    if let Some(parameters) = &mut get.parameters {
        parameters.retain(|parameter| !matches!(parameter, RefOr::T(one) if is_secret(&one.name)));
    }
    let parameters = post.parameters.take().unwrap_or_default();
    let (query, rest): (Vec<_>, Vec<_>) = parameters
        .into_iter()
        .partition(|parameter| matches!(parameter, RefOr::T(one) if one.parameter_in == ParameterIn::Query));
    post.parameters = (!rest.is_empty()).then_some(rest);
    if query.is_empty() {
        return;
    }
    let mut arguments = ObjectBuilder::new();
    let mut required = Required::False;
    for parameter in query {
        // Its example can be read in no other way.
        let example = json!(parameter)["example"].take();
        let RefOr::T(Parameter { name, description, required: needed, schema, .. }) = parameter else {
            continue;
        };
        let mut schema = schema.unwrap_or_default();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.description = description;
            object.examples.extend(Some(example).filter(|example| !example.is_null()));
        }
        if needed == Required::True {
            arguments = arguments.required(&name);
            required = Required::True;
        }
        arguments = arguments.property(name, schema);
    }
    let name = format!("{}_arguments", path.trim_start_matches('/').replace('/', "_"));
    let schema = Ref::from_schema_name(&name);
    components.schemas.insert(name, arguments.into());
    let body = RequestBodyBuilder::new()
        .description(Some("The parameters; they may also come in the query string."))
        .content("application/json", Content::new(Some(schema.clone())))
        .content("application/x-www-form-urlencoded", Content::new(Some(schema)))
        .required(Some(required));
    post.request_body = Some(body.build().into());
}
