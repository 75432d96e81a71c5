//! Logs that edges ship, through the domain.

use std::sync::Arc;

use pilothouse_core::cdn::LogShipper;
use pilothouse_log_intake::{Format, LogLayout, ShippedLogReader};

use crate::test_domain::{TestDomain, line};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn shipper(edge: &str) -> LogShipper {
    let (cdn, edge, key) = ("level3".to_owned(), edge.to_owned(), format!("{KEY}{edge}"));
    LogShipper { cdn, edge, key, is_followed: false }
}

#[tokio::test]
async fn shipped_lines_of_an_unregistered_host_are_counted_once_it_is_registered() {
    let mut domain = TestDomain::with(vec![shipper("edge-1")]).await;
    let reader = ShippedLogReader::new(domain.archive.clone(), domain.pilothouse.settings().timezone);
    let reader = reader.edge("level3", "edge-1", LogLayout::new(Format::Tsv));
    domain.pilothouse = domain.pilothouse.clone().with_log_reader(Arc::new(reader));
    let lines = [100, 20, 3].map(|bytes| line("late.example.com", bytes, "127.0.0.1"));
    let mut offset = 0;
    for (n, piece) in lines.iter().enumerate() {
        let key = format!("{KEY}edge-1");
        let shipped = domain.pilothouse.log_intake();
        offset = shipped.ship("level3", "edge-1", Some(&key), offset, piece.as_bytes()).await.unwrap();
        if n == 1 {
            assert_eq!(domain.hosts().await, [("late.example.com".to_owned(), 2)]);
            domain.register("late.example.com").await;
            assert_eq!(domain.flux_of("late.example.com").await, 120);
        }
    }
    assert_eq!(domain.flux_of("late.example.com").await, 123);
    assert_eq!(domain.log_of("late.example.com").await, lines.concat());
}

#[tokio::test]
async fn shipped_lines_are_counted_and_kept() {
    let mut domain = TestDomain::with(vec![shipper("edge-1"), shipper("edge-2")]).await;
    let reader = ShippedLogReader::new(domain.archive.clone(), domain.pilothouse.settings().timezone);
    let reader = reader.edge("level3", "edge-1", LogLayout::new(Format::Tsv));
    domain.pilothouse = domain.pilothouse.clone().with_log_reader(Arc::new(reader));
    let piece = line("a.example.com", 100, "127.0.0.1") + &line("b.example.com", 20, "127.0.0.1") + "cut off";
    let whole = i64::try_from(piece.len() - "cut off".len()).unwrap();
    let ship = async |edge: &str, offset: i64, piece: &str| {
        let key = format!("{KEY}{edge}");
        domain.pilothouse.log_intake().ship("level3", edge, Some(&key), offset, piece.as_bytes()).await
    };
    for _ in 0..2 {
        assert_eq!(ship("edge-1", 0, &piece).await.unwrap(), whole, "and nothing twice");
    }
    assert_eq!(domain.flux().await, 100);
    assert_eq!(domain.log().await, line("a.example.com", 100, "127.0.0.1"));
    let refused = ship("edge-2", 0, &piece).await.unwrap_err();
    assert!(refused.to_string().contains("without a layout"), "{refused}");
}
