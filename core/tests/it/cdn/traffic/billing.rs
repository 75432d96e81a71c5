//! Billing of a month.

use pilothouse_core::ErrorKind;
use pilothouse_core::account::{AccountId, Caller, Groups, Scope};
use pilothouse_core::cdn::{BillingQuery, BillingRule, Block, BlockKind, Day, Point};
use pilothouse_core::ports::{LockKey, Storage};

use super::fixture::{DAY, NOW, TrafficFixture};

#[tokio::test]
async fn the_current_month_is_billed_up_to_the_last_complete_five_minutes() {
    let fixture = TrafficFixture::new(2).await;
    // The month began twelve hours ago in Shanghai: 144 buckets, of which the 95th percentile leaves out 7.
    let begin = NOW - DAY / 2;
    let bill = async |rule: BillingRule| {
        let query =
            BillingQuery { login_email: None, domains: Vec::new(), month: "201610".parse().unwrap(), rule };
        fixture.pilothouse.billing().bill(&fixture.caller, &query).await.unwrap()
    };
    let cells: Vec<_> = (0..8).map(|n| (0, begin + n * 300, 37_500 * (n + 1), None)).collect();
    fixture.record(&cells, &[]).await;
    // The current bucket and the last one before the month do not count.
    fixture.record(&[(1, NOW, 1_000_000_000, None), (1, begin - 1, 1_000_000_000, None)], &[]).await;
    fixture.advance(299);
    let billed = bill(BillingRule::Month95).await;
    let point = |time_stamp: i64, value: i64| Point { time_stamp, value };
    assert_eq!((billed.bandwidth, &*billed.points), (1000, &[point(begin, 1000)][..]));
    assert_eq!((billed.begin, billed.until, billed.is_over), (begin, NOW, false));
    assert_eq!(bill(BillingRule::DailyPeak).await.points, [point(begin + 7 * 300, 8000)]);
    assert_eq!(bill(BillingRule::Top5).await.points, []);
    fixture.advance(1);
    assert_eq!(bill(BillingRule::DailyPeak).await.bandwidth, 26_666_667, "the bucket is complete");
    fixture.advance(31 * DAY);
    assert!(bill(BillingRule::Top5).await.is_over);
    let month = "201612".parse().unwrap();
    let query = BillingQuery { login_email: None, domains: Vec::new(), month, rule: BillingRule::Top5 };
    let refused = fixture.pilothouse.billing().bill(&fixture.caller, &query).await.unwrap_err();
    assert_eq!(refused.to_string(), "month: must have begun");
    let stranger = Caller { groups: Groups::all(), id: AccountId(999), ..fixture.caller.clone() };
    let refused = fixture.pilothouse.billing().bill(&stranger, &query).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden, "refused before the month is judged");
}

/// A sealed month of a thousand domains, each like the first.
#[tokio::test]
async fn a_month_of_a_thousand_domains_is_billed_in_one_call() {
    let fixture = TrafficFixture::new(1000).await;
    let begin = NOW - DAY / 2 - 30 * DAY;
    let cells: Vec<_> = (0..30 * 288).map(|n| (0, begin + n * 300, 37_500 + n, None)).collect();
    fixture.record(&cells, &[]).await;
    fixture.advance(2 * DAY);
    while fixture.maintain().await.sealed_days > 0 {}
    let mut work = fixture.storage.begin().await.unwrap();
    work.lock(LockKey::Traffic).await.unwrap();
    let days = Day(begin / DAY)..=Day(NOW / DAY + 1);
    for kind in [BlockKind::Flux, BlockKind::Counts] {
        for block in work.traffic().blocks(kind, &fixture.domains[..1], days.clone()).await.unwrap() {
            for &domain_id in &fixture.domains[1..] {
                work.traffic().put_block(kind, &Block { domain_id, ..block.clone() }).await.unwrap();
            }
        }
    }
    work.commit().await.unwrap();
    let operator = Caller { groups: Groups::all(), scope: Scope::Account, ..fixture.caller.clone() };
    let started = std::time::Instant::now();
    let month = "201609".parse().unwrap();
    let mut run = fixture.pilothouse.billing().bills(&operator, month, BillingRule::Month95).await.unwrap();
    let mut bills = Vec::new();
    while let Some(page) = run.next_bills().await.unwrap() {
        // Of a customer with many domains, too, some are in memory at once.
        assert!(!page.is_empty() && page.len() < 300, "{} bills in a page", page.len());
        bills.extend(page);
    }
    println!("1,000 domains in {:?}", started.elapsed());
    let names: std::collections::BTreeSet<_> = bills.iter().map(|bill| &bill.domain).collect();
    assert_eq!((bills.len(), names.len()), (1000, 1000), "each once");
    let flux: i64 = cells.iter().map(|(_, _, flux, _)| flux).sum();
    assert!(
        bills.iter().all(|row| row.bill == bills[0].bill && row.flux == flux && row.requests == 2 * 30 * 288)
    );
    assert!(bills[0].bill.bandwidth > 1000 && bills[0].bill.is_over);
    let mut run = fixture.pilothouse.traffic().totals(&operator, begin, NOW).await.unwrap();
    let totals = run.next_sums().await.unwrap().unwrap();
    assert_eq!((totals.len(), totals[0].figures.flux), (1, 1000 * flux));
    assert_eq!(run.next_sums().await.unwrap(), None);
}
