//! Validators, as creating and changing an item enforces them.

use pilothouse_conformance::rows::item_name;
use pilothouse_core::ErrorKind;
use pilothouse_core::config::Content;

use super::fixture::{AuthoringFixture, content, kind};

#[tokio::test]
async fn values_are_checked_by_built_in_validators() {
    let fixture = AuthoringFixture::new().await;
    let items = fixture.pilothouse.items();
    fixture.app("app").await;
    let name = item_name("app", "k");
    let with = |validator: &str, value: &str| Content { validator: validator.into(), ..content(value) };
    for (validator, good, bad) in [
        ("json", "{}", "{"),
        ("yaml", "a: [1]", "a: [1"),
        ("toml", "a = 1", "a = "),
        ("int", "-1", "one"),
        ("url", "https://example.com/", "example.com"),
        ("regex:^[a-z]+$", "abc", "abc1"),
        #[cfg(feature = "validators")]
        (r#"jsonschema:{"type":"integer"}"#, "1", "1.5"),
    ] {
        let refused =
            items.create(&fixture.owner, &name, with(validator, bad)).await.unwrap_err().to_string();
        assert!(refused.starts_with("value: "), "{validator}: {refused}");
        assert_eq!(kind(items.find(&fixture.owner, &name).await), ErrorKind::NotFound);
        items.create(&fixture.owner, &name, with(validator, good)).await.unwrap();
        let refused =
            items.update(&fixture.owner, &name, with(validator, bad), None).await.unwrap_err().to_string();
        assert!(refused.starts_with("value: "), "{validator}: {refused}");
        let found = items.find(&fixture.owner, &name).await.unwrap();
        assert_eq!(found.current.content, with(validator, good));
        items.delete(&fixture.owner, &name, None).await.unwrap();
    }
    for malformed in ["regex:(", "jsonschema:{", r#"jsonschema:{"type":"nothing"}"#] {
        let refused =
            items.create(&fixture.owner, &name, with(malformed, "1")).await.unwrap_err().to_string();
        assert!(refused.starts_with("validator: "), "{malformed}: {refused}");
    }
    items.create(&fixture.owner, &name, with("v => v.length", "anything")).await.unwrap();

    // A caller without permission is refused for that, whether or not the value is valid.
    let stranger = fixture.account("stranger").await;
    assert_eq!(kind(items.create(&stranger, &name, with("json", "{")).await), ErrorKind::Forbidden);
    assert_eq!(kind(items.update(&stranger, &name, with("json", "{"), None).await), ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_rollback_is_validated_too() {
    let fixture = AuthoringFixture::new().await;
    let items = fixture.pilothouse.items();
    fixture.app("app").await;
    let name = item_name("app", "k");
    let id = fixture.item(&name, "1").await;
    // A version that was stored before its validator existed.
    let mut work = fixture.storage().begin().await.unwrap();
    let mut version = work.items().by_id(id).await.unwrap().unwrap().current;
    version.version = 2;
    version.content = Content { validator: "json".into(), ..content("{") };
    assert!(work.items().amend(id, &version).await.unwrap());
    work.commit().await.unwrap();
    items.update(&fixture.owner, &name, content("3"), None).await.unwrap();

    let refused = items.roll_back(&fixture.owner, &name, 2).await.unwrap_err();
    assert!(refused.to_string().starts_with("value: is not JSON: "), "{refused}");
    assert_eq!(items.find(&fixture.owner, &name).await.unwrap().current.version, 3);
    items.roll_back(&fixture.owner, &name, 1).await.unwrap();
    assert_eq!(items.find(&fixture.owner, &name).await.unwrap().current.content, content("1"));
}
