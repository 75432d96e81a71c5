//! The validator `jsonschema:…`, on a thread with enough stack.

use std::thread;

use pilothouse_validators::{SCHEMA_STACK, json_schema};
use tokio::sync::oneshot;

use super::item::Content;
use super::refusal::refused;
use crate::{Error, Result};

/// Checks a value against its schema on a thread with enough stack.
pub(super) async fn checked(content: Content) -> Result<Content> {
    let (send, receive) = oneshot::channel();
    let work = move || {
        let text = content.validator.split_once(':').map_or("", |(_, schema)| schema);
        let answer = json_schema(text, &content.value).map_err(|refusal| refused(&refusal));
        // Nobody waits any more when the caller went away.
        let _ = send.send(answer.map(|()| content));
    };
    let thread = thread::Builder::new().name("validator".to_owned()).stack_size(SCHEMA_STACK).spawn(work);
    thread.map_err(|error| Error::Internal(format!("a thread for checking a value: {error}")))?;
    receive.await.map_err(|_| Error::Internal("checking a value against its schema panicked".to_owned()))?
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    async fn checked(schema: &str, value: &str) -> Result<()> {
        let validator = format!("jsonschema:{schema}");
        let content = Content { value: value.into(), validator, description: String::new() };
        content.checked().await.map(|_| ())
    }

    async fn refused(schema: &str, value: &str) -> String {
        checked(schema, value).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_value_must_satisfy_its_schema() {
        let schema = r#"{"type":"object","required":["port"],"properties":{"port":{"type":"integer"}}}"#;
        checked(schema, r#"{"port":80}"#).await.unwrap();
        assert_eq!(
            refused(schema, r#"{"port":"hunter2"}"#).await,
            "value: does not satisfy its schema at /port: it is not of type \"integer\""
        );
        assert!(refused(schema, "{}").await.ends_with("at /: \"port\" is a required property"));
        assert!(refused(schema, "{").await.starts_with("value: is not JSON: "));
        assert!(refused("{", "{}").await.starts_with("validator: is not a JSON schema: "));
        assert!(
            refused(r#"{"type":"nothing"}"#, "{}").await.starts_with("validator: is not a JSON schema: ")
        );
        let long = format!(r#"{{"enum":["{}"]}}"#, "x".repeat(5000));
        assert!(refused(&long, "1").await.len() < 400);
    }

    #[tokio::test]
    async fn nothing_is_fetched() {
        for outside in ["http://127.0.0.1:9/x", "https://example.com/x", "file:///etc/passwd"] {
            let refused = refused(&format!(r#"{{"$ref":"{outside}"}}"#), "{}").await;
            assert!(refused.starts_with("validator: every $ref must be # or like"), "{refused}");
        }
    }

    /// A value as deep as the parser takes.
    fn nested(inner: &str) -> String {
        format!("{}{inner}{}", "[".repeat(126), "]".repeat(126))
    }

    #[tokio::test]
    async fn a_schema_cannot_take_the_server_down() {
        let begun = Instant::now();
        checked(r##"{"$ref":"#"}"##, "1").await.unwrap();
        assert!(refused(r#"{"pattern":"(a+)+(\\w{100}){1000}"}"#, "1").await.starts_with("validator: "));
        let many = |n: usize| format!("{{\"allOf\":[{}{{}}]}}", "{},".repeat(n));
        let too_large = "validator: a JSON schema may have at most 1000 objects, with what it refers to";
        checked(&many(998), "1").await.unwrap();
        assert_eq!(refused(&many(999), "1").await, too_large);

        // Every level twice the one below.
        let level = |n: usize| {
            format!(r##""d{n}":{{"allOf":[{{"$ref":"#/$defs/d{0}"}},{{"$ref":"#/$defs/d{0}"}}]}}"##, n + 1)
        };
        let levels: Vec<_> = (0..100).map(level).collect();
        let doubling = format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d100":{{}}}}}}"##, levels.join(","));
        assert_eq!(refused(&doubling, "1").await, too_large);
        // The same, by recursion into the value.
        let tree = r##"{"items":{"anyOf":[{"$ref":"#"},{"$ref":"#"}]},"not":{"const":7}}"##;
        checked(tree, &nested("1")).await.unwrap();
        assert!(refused(tree, &nested("7")).await.starts_with("value: "));

        // What may look more than once at what lies below.
        for wrap in [
            r#"{"anyOf":[#]}"#,
            r#"{"oneOf":[#,false]}"#,
            r#"{"if":#,"then":true,"else":false}"#,
            r#"{"not":{"not":#}}"#,
        ] {
            let link = |n: usize| {
                let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
                format!(r#""d{n}":{}"#, wrap.replace('#', &next))
            };
            let links: Vec<_> = (0..100).map(link).collect();
            let schema = |end: &str| {
                format!(r##"{{"$defs":{{{},"d100":{end}}},"$ref":"#/$defs/d0"}}"##, links.join(","))
            };
            checked(&schema("true"), "1").await.unwrap();
            assert!(refused(&schema("false"), "1").await.starts_with("value: "));
        }
        let unsupported = refused(r#"{"items":{"unevaluatedItems":false}}"#, "1").await;
        assert_eq!(unsupported, "validator: unevaluatedItems is not supported");

        // As deep as can be: a long chain of references, walked again on every level of the value.
        let link = |n: usize| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}}"##, n + 1);
        let links: Vec<_> = (0..900).map(link).collect();
        let chain = format!(
            r##"{{"$defs":{{{},"d900":{{"items":{{"$ref":"#/$defs/d0"}},"not":{{"const":7}}}}}},"$ref":"#/$defs/d899"}}"##,
            links.join(",")
        );
        checked(&chain, &nested("1")).await.unwrap();
        assert!(refused(&chain, &nested("7")).await.starts_with("value: "));
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}
