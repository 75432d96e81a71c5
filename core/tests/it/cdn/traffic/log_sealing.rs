//! Sealing of access logs: one archive file a domain and day.

use chrono::NaiveDate;
use pilothouse_core::cdn::{Batch, KeptLines, LogFile};

use super::fixture::{DAY, TrafficFixture};

#[tokio::test]
async fn a_finished_day_is_sealed_into_one_file() {
    let fixture = TrafficFixture::new(2).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    let yesterday = today.pred_opt().unwrap();
    fixture.store_lines("p1", &[(0, yesterday, "one "), (1, yesterday, "other "), (0, today, "new ")]).await;
    fixture.store_lines("p2", &[(0, yesterday, "two ")]).await;
    assert_eq!(fixture.download(0, yesterday).await.unwrap(), "one two ");
    assert_eq!(fixture.maintain().await.sealed_logs, 2);
    assert_eq!(fixture.download(0, yesterday).await.unwrap(), "one two ");
    assert_eq!(fixture.maintain().await.pruned_files, 1, "the first pack still has lines of today");
    assert!(fixture.archive.file_names().contains(&"p1".to_owned()));

    fixture.store_lines("p3", &[(0, yesterday, "late ")]).await;
    assert_eq!(fixture.download(0, yesterday).await.unwrap(), "one two late ");
    assert_eq!(fixture.maintain().await.sealed_logs, 1);
    assert_eq!(fixture.download(0, yesterday).await.unwrap(), "one two late ");
    assert_eq!(fixture.chunks(0, yesterday).await.len(), 1, "late lines are sealed into one file again");
    assert_eq!(fixture.download(0, today).await.unwrap(), "new ");

    // A lost pack does not block the sealing of other domains.
    fixture.advance(DAY);
    fixture.store_lines("p4", &[(1, today, "fine ")]).await;
    fixture.archive.lose_pack("p1");
    assert_eq!(fixture.maintain().await.sealed_logs, 1);
    assert_eq!(fixture.download(1, today).await.unwrap(), "fine ");

    fixture.advance(91 * DAY);
    assert_eq!(
        fixture.maintain().await.pruned_chunks,
        0,
        "lines are kept for 92 days from when they were read"
    );
    assert_eq!(fixture.download(0, yesterday).await.unwrap(), "one two late ");
    fixture.advance(DAY);
    for _ in 0..4 {
        assert_eq!(fixture.maintain().await.pruned_chunks, 1, "an eighth a day");
        assert_eq!(fixture.maintain().await.pruned_chunks, 0);
        fixture.advance(DAY);
    }
    assert_eq!(fixture.download(0, yesterday).await, None);
    fixture.maintain().await;
    assert_eq!(fixture.archive.file_names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_day_with_a_hundred_chunks_is_sealed_before_it_ends() {
    let fixture = TrafficFixture::new(2).await;
    let today = NaiveDate::from_ymd_opt(2016, 10, 1).unwrap();
    let mut text = String::new();
    for n in 0..250 {
        let line = format!("line {n} ");
        fixture.store_lines(&format!("p{n}"), &[(0, today, &line)]).await;
        text += &line;
        if n == 98 || n == 149 {
            assert_eq!(fixture.maintain().await.sealed_logs, u64::from(n == 149));
            assert_eq!(fixture.download(0, today).await.unwrap(), text);
        }
    }
    assert_eq!(fixture.chunks(0, today).await.len(), 101);
    assert_eq!(fixture.maintain().await.sealed_logs, 1);
    fixture.store_lines("last", &[(0, today, "last ")]).await;
    text += "last ";
    let files: Vec<_> = fixture.chunks(0, today).await.into_iter().map(|chunk| chunk.file).collect();
    assert!(
        matches!(&files[..], [LogFile::Sealed(_), LogFile::Sealed(_), LogFile::Pack(last)] if last == "last"),
        "{files:?}"
    );
    assert_eq!(fixture.download(0, today).await.unwrap(), text);
    fixture.advance(DAY);
    assert_eq!(fixture.maintain().await.sealed_logs, 1);
    assert_eq!(fixture.chunks(0, today).await.len(), 1);
    assert_eq!(fixture.download(0, today).await.unwrap(), text);
    fixture.maintain().await;
    assert_eq!(fixture.archive.file_names().len(), 1, "replaced files are pruned");
}

#[tokio::test]
async fn a_day_with_an_incomplete_line_is_sealed_two_days_later() {
    let fixture = TrafficFixture::new(1).await;
    let yesterday = NaiveDate::from_ymd_opt(2016, 9, 30).unwrap();
    fixture.store_lines("p1", &[(0, yesterday, "one ")]).await;
    let open = KeptLines { is_open: true, ..fixture.kept_lines(0, yesterday, "tw") };
    fixture.archive.write_pack("p2", b"tw".to_vec());
    let batch = Batch { pack: "p2".into(), kept: vec![open.clone()], ..fixture.batch().await };
    fixture.pilothouse.log_intake().record(batch).await.unwrap();
    assert_eq!(fixture.maintain().await.sealed_logs, 0);
    fixture.store_lines("p3", &[(0, yesterday, "two ")]).await;
    let batch = Batch { withdrawn: Some(("p2".into(), 0)), ..fixture.batch().await };
    fixture.pilothouse.log_intake().record(batch).await.unwrap();
    assert_eq!(fixture.maintain().await.sealed_logs, 1);
    assert_eq!(fixture.download(0, yesterday).await.unwrap(), "one two ");

    fixture.archive.write_pack("p4", b"tw".to_vec());
    let batch = Batch { pack: "p4".into(), kept: vec![open], ..fixture.batch().await };
    fixture.pilothouse.log_intake().record(batch).await.unwrap();
    fixture.advance(DAY);
    assert_eq!(fixture.maintain().await.sealed_logs, 0);
    fixture.advance(DAY);
    assert_eq!(fixture.maintain().await.sealed_logs, 1, "an incomplete line is waited for no longer");
}
