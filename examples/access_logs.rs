//! Traffic from access logs: a gzipped log of a real server becomes a bandwidth series and a log to download.
//!
//! `cargo run --example access_logs`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use pilothouse_core::account::{Caller, TokenAuthenticator};
use pilothouse_core::cdn::{NewCustomer, Point, TrafficQuery};
use pilothouse_core::ports::Authenticator;
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_log_intake::{FolderArchive, Format, LogLayout, LogPipeline};
use pilothouse_storage_memory::MemoryStorage;

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../access-log/tests/data/apache-combined-10k.log.gz");
const HOST: &str = "cdn.example.com";
const MAIL: &str = "ann@example.com";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    for point in bandwidths().await?.into_iter().filter(|point| point.value > 0) {
        let time = DateTime::from_timestamp(point.time_stamp, 0).unwrap_or_default();
        println!("{time} {:>9} bit/s", point.value);
    }
    Ok(())
}

/// Ingests the log and returns the bandwidth of its first 24 hours, in bits per second by five minutes.
async fn bandwidths() -> Result<Vec<Point>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let archive = FolderArchive::open(folder.path())?;
    let settings = Settings::default().with_cdns(["level3"]);
    let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), settings)?
        .with_log_archive(Arc::new(archive.clone()));
    let ann = with_customer(&pilothouse).await?;

    // Reading the same log again, under whatever name, would add nothing.
    let pipeline = LogPipeline::new(pilothouse.clone(), archive);
    let edge = pipeline.edge("level3", "edge-1", LogLayout::new(Format::Combined).domain(HOST)).await?;
    println!("{}", edge.file(Path::new(LOG)).await?);

    let days = "2015-05-17".parse()?..="2015-05-21".parse()?;
    for day in pilothouse.log_downloads().logs(&ann, None, HOST, days).await? {
        println!("{} has {} bytes of kept lines, gzipped", day.date, day.size);
    }
    let query = TrafficQuery {
        login_email: None,
        domains: vec![HOST.into()],
        start_time: 1_431_857_100,
        end_time: 1_431_943_499,
    };
    Ok(pilothouse.traffic().bandwidths(&ann, &query).await?)
}

/// Adds an account that is a customer with a domain on the cdn, and logs it in.
async fn with_customer(pilothouse: &Pilothouse) -> Result<Caller, Box<dyn Error>> {
    pilothouse.cdns().ensure_configured().await?;
    pilothouse.accounts().create_superuser("ann", MAIL, "correct horse").await?;
    let access = pilothouse.logins().login("ann", "correct horse", None).await?;
    let ann = TokenAuthenticator::new(pilothouse.clone()).authenticate(&access.token, None).await?;
    let password = "another long password".into();
    let customer = NewCustomer { login_email: MAIL.into(), password, operations: true };
    pilothouse.customers().create(&ann, customer).await?;
    pilothouse.domains().add(&ann, MAIL, "level3", &[HOST.into()]).await?;
    Ok(ann)
}

#[tokio::test]
async fn the_series_is_that_of_the_log() {
    let series = bandwidths().await.expect("the log is ingested");
    let sum: i64 = series.iter().map(|point| point.value).sum();
    // The sum is that of a count in Python over the unpacked log.
    assert_eq!((series.len(), sum), (288, 12_990_216));
}
