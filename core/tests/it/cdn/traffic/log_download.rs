//! Download of access logs by signed links.

use std::sync::Arc;

use chrono::NaiveDate;
use pilothouse_core::cdn::Maintained;
use pilothouse_core::ports::{RandomIds, Storage};
use pilothouse_core::{ErrorKind, Pilothouse, Settings};

use super::fixture::{NOW, TrafficFixture};

#[tokio::test]
async fn a_sealed_day_has_a_digest() {
    let fixture = TrafficFixture::new(1).await;
    let yesterday = NaiveDate::from_ymd_opt(2016, 9, 30).unwrap();
    fixture.store_lines("p1", &[(0, yesterday, "one ")]).await;
    let digest = async || {
        let downloads = fixture.pilothouse.log_downloads();
        let listed =
            downloads.logs(&fixture.caller, None, "d0.example.com", yesterday..=yesterday).await.unwrap();
        downloads.open_log(listed[0].link.as_ref().unwrap()).await.unwrap().sha256
    };
    assert_eq!(digest().await, None);
    fixture.maintain().await;
    assert_eq!(digest().await, Some([8; 32]));
    fixture.store_lines("p2", &[(0, yesterday, "late ")]).await;
    assert_eq!(digest().await, None);
    fixture.maintain().await;
    assert_eq!(digest().await, Some([8; 32]));
}

#[tokio::test]
async fn a_link_expires_after_an_hour_and_with_the_domain() {
    let fixture = TrafficFixture::new(1).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    fixture.store_lines("p1", &[(0, today, "line ")]).await;
    let downloads = fixture.pilothouse.log_downloads();
    let day = downloads.logs(&fixture.caller, None, "d0.example.com", today..=today).await.unwrap().remove(0);
    let link = day.link.unwrap();
    assert_eq!(link.expires, (NOW + 3600).to_string());
    fixture.advance(3599);
    assert!(downloads.open_log(&link).await.is_ok());

    let other = Pilothouse::new(fixture.storage.clone(), Settings::default()).unwrap();
    let refused = other.log_downloads().open_log(&link).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "the link is signed with another secret");
    let mut work = fixture.storage.begin().await.unwrap();
    work.domains().release(&fixture.domains).await.unwrap();
    work.commit().await.unwrap();
    let refused = downloads.open_log(&link).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "the domain was released");
    let mut work = fixture.storage.begin().await.unwrap();
    work.domains().claim(fixture.caller.id, fixture.edge.cdn_id, "d0.example.com").await.unwrap();
    work.commit().await.unwrap();
    assert!(downloads.open_log(&link).await.is_ok());
    fixture.advance(1);
    let refused = downloads.open_log(&link).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "the link has expired");
}

#[tokio::test]
async fn logs_are_unavailable_without_an_archive() {
    let fixture = TrafficFixture::new(1).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    fixture.store_lines("p1", &[(0, today, "line ")]).await;
    let settings = Settings::default().with_secret(fixture.pilothouse.settings().secret.clone());
    let clock = fixture.clock.clone();
    let without = Pilothouse::with(fixture.storage.clone(), settings, clock, Arc::new(RandomIds)).unwrap();
    let downloads = without.log_downloads();
    let day = downloads.logs(&fixture.caller, None, "d0.example.com", today..=today).await.unwrap().remove(0);
    let link = day.link.unwrap();
    let refused = downloads.open_log(&link).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(without.maintain().await.unwrap(), Maintained::default());
}
