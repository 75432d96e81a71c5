//! Search over many items, and what it covers.

use pilothouse_conformance::rows::item_name;
use pilothouse_core::config::SearchFilter;
use pilothouse_core::{ErrorKind, Page};

use super::fixture::{AuthoringFixture, kind};

fn text(text: &str) -> SearchFilter {
    SearchFilter { text: text.into(), ..SearchFilter::default() }
}

#[tokio::test]
async fn everything_is_found_once_in_pages() {
    let fixture = AuthoringFixture::new().await;
    fixture.app("app").await;
    for n in 0..50 {
        let value = if n % 5 == 4 { "nothing" } else { "the needle" };
        fixture.item(&item_name("app", &format!("k{n}")), value).await;
    }
    let items = fixture.pilothouse.items();
    for count in [1, 7, 16, 17, 39, 40, 41, 1000] {
        let (mut found, mut start) = (Vec::new(), 0);
        loop {
            let page = Page::new(Some(start), Some(count)).unwrap();
            let result = items.search(&fixture.owner, &text("needle"), page).await.unwrap();
            assert_eq!(result.search_start, None);
            let Some(last) = result.found.last() else { break };
            start = last.id.0 + 1;
            found.extend(result.found.into_iter().map(|found| found.key));
        }
        let expected: Vec<_> = (0..50).filter(|n| n % 5 != 4).map(|n| format!("k{n}")).collect();
        assert_eq!(found, expected, "{count} at once");
    }
    let page = Page::default();
    assert_eq!(kind(items.search(&fixture.owner, &text(""), page).await), ErrorKind::Invalid);
    assert_eq!(kind(items.search(&fixture.owner, &text(&"x".repeat(257)), page).await), ErrorKind::Invalid);
    let stranger = fixture.account("stranger").await;
    assert_eq!(items.search(&stranger, &text("needle"), page).await.unwrap().found, []);
    let named = SearchFilter { app: Some("app".into()), ..text("needle") };
    assert_eq!(kind(items.search(&stranger, &named, page).await), ErrorKind::Forbidden);
}
