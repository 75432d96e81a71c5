//! `pilothouse ingest`: access logs into the statistics.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use pilothouse_access_log as log;
use pilothouse_access_log::city::CityDatabase;
use pilothouse_access_log::{Domains, Found, IngestError, Input, Rules};
use pilothouse_core::cdn::Counters;
use pilothouse_core::{Error, Pilothouse};
use tokio_util::sync::CancellationToken;

use crate::archive::LogFolder;
use crate::args::Ingest;
use crate::failure::Failure;
use crate::recorder::{Recorder, core_counters};
use crate::terminal::print;

/// How often a log is begun again that somebody else reads at the same time.
const ATTEMPTS: usize = 3;

/// What became of some logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// What their new lines were.
    pub(crate) counters: Counters,
    /// Bytes that were read before and not counted again, before compression.
    pub(crate) known: u64,
}

/// Takes logs in one after the other and says of each what became of it. What was recorded before a failure stays, and
/// the same command goes on there.
pub(crate) async fn ingest(
    pilothouse: Pilothouse,
    folder: LogFolder,
    cities: Option<CityDatabase>,
    options: Ingest,
) -> Result<Report, Failure> {
    let (edge, domains) = pilothouse.traffic().edge(&options.cdn, &options.edge).await?;
    let domains = Domains::new(domains.iter().map(|domain| (&domain.name, domain.id)));
    let timezone = pilothouse.settings().timezone;
    let cities = cities.map(Arc::new);
    let work = move || {
        let mut recorder = Recorder::new(pilothouse, folder, edge, cities.clone(), CancellationToken::new());
        recorder.shown = std::io::stderr().is_terminal().then_some(0);
        let rules = Rules {
            format: options.format,
            domains: &domains,
            default_domain: options.domain.as_deref(),
            cities: cities.as_deref().map(|cities| cities as &dyn log::Cities),
            timezone,
        };
        ingest_all(&mut recorder, &rules, &options)
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::failed("reading logs", error))?
}

fn ingest_all(recorder: &mut Recorder, rules: &Rules<'_>, options: &Ingest) -> Result<Report, Failure> {
    let mut total = Report::default();
    for file in &options.files {
        let report = ingest_one(recorder, rules, file)?;
        print(&format!("{}: {report}", file.display()))?;
        total.counters.add(report.counters);
        total.known += report.known;
    }
    if options.files.len() > 1 {
        print(&format!("all: {total}"))?;
    }
    Ok(total)
}

fn ingest_one(recorder: &mut Recorder, rules: &Rules<'_>, file: &Path) -> Result<Report, Failure> {
    let is_stream = file == Path::new("-");
    let mut counters = Counters::default();
    for attempt in 1.. {
        let input = if is_stream { Ok(Input::stream("-", std::io::stdin())) } else { Input::open(file) };
        let input = input.map_err(|error| Failure::failed(file.display(), error))?;
        recorder.new = 0;
        let done = log::ingest(input, rules, &log::Options::default(), recorder);
        recorder.clear_progress();
        match done {
            Ok(done) => {
                counters.add(core_counters(done.counters));
                let known = match done.found {
                    Found::New => 0,
                    Found::Copy => done.bytes,
                    Found::Continued => done.bytes.saturating_sub(done.unfinished + recorder.new),
                };
                return Ok(Report { counters, known });
            }
            Err(IngestError::Ledger(Error::Conflict(_))) if !is_stream && attempt < ATTEMPTS => {}
            Err(IngestError::Rules(error)) => return Err(Failure::usage(format!("--domain: {error}"))),
            Err(error) => return Err(Failure::failed(file.display(), error)),
        }
    }
    Ok(Report::default())
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counters { lines, billed, kept, unreadable, unregistered, purges } = self.counters;
        write!(
            f,
            "lines {lines}, billed {billed}, kept {kept}, unreadable {unreadable}, unregistered {unregistered}, \
             purges {purges}, known bytes {}",
            self.known
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::sync::Arc;

    use flate2::Compression;
    use flate2::read::MultiGzDecoder;
    use flate2::write::GzEncoder;
    use futures_util::TryStreamExt;
    use pilothouse_access_log::Format;
    use pilothouse_core::Settings;
    use pilothouse_core::account::{Caller, Groups, Scope};
    use pilothouse_core::cdn::{NewCustomer, TrafficQuery};
    use pilothouse_storage_memory::MemoryStorage;
    use tempfile::TempDir;

    use super::*;

    /// 2026-11-21 12:32 in Shanghai.
    const TIME: i64 = 1_795_235_520;

    struct World {
        place: TempDir,
        folder: LogFolder,
        pilothouse: Pilothouse,
        caller: Caller,
    }

    impl World {
        async fn new() -> Self {
            let place = tempfile::tempdir().unwrap();
            let folder = LogFolder::open(&place.path().join("logs")).unwrap();
            let settings = Settings {
                cdns: vec!["level3".to_owned()],
                geo_city_database: true,
                log_days: 36_500,
                ..Settings::default()
            };
            let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), settings)
                .unwrap()
                .with_log_archive(Arc::new(folder.clone()));
            pilothouse.cdns().ensure_configured().await.unwrap();
            let mail = "root@example.com".to_owned();
            let (name, password) = ("root".to_owned(), "correct horse battery".to_owned());
            let id = pilothouse.accounts().create_superuser(&name, &mail, &password).await.unwrap();
            let (groups, scope) = (Groups::all(), Scope::Account);
            let caller = Caller { id, name, mail: mail.clone(), groups, scope, token: None, address: None };
            let new = NewCustomer { login_email: mail.clone(), password, operations: true };
            pilothouse.customers().create(&caller, new).await.unwrap();
            let domains = ["a.example.com".to_owned(), "b.example.com".to_owned()];
            pilothouse.domains().add(&caller, &mail, "level3", &domains).await.unwrap();
            Self { place, folder, pilothouse, caller }
        }

        async fn ingest(&self, name: &str, content: &[u8]) -> Result<Report, Failure> {
            let file = self.place.path().join(name);
            fs::write(&file, content).unwrap();
            let database =
                concat!(env!("CARGO_MANIFEST_DIR"), "/../access-log/tests/data/GeoIP2-City-Test.mmdb");
            let cities = CityDatabase::open(Path::new(database)).unwrap();
            let options = Ingest {
                files: vec![file],
                cdn: "level3".to_owned(),
                edge: "edge-1".to_owned(),
                format: Format::Tsv,
                domain: None,
            };
            ingest(self.pilothouse.clone(), self.folder.clone(), Some(cities), options).await
        }

        fn query() -> TrafficQuery {
            TrafficQuery { domains: vec!["a.example.com".to_owned()], start_time: TIME, end_time: TIME + 300 }
        }

        async fn flux(&self) -> i64 {
            let traffic = self.pilothouse.traffic();
            let points = traffic.fluxs(&self.caller, &Self::query()).await.unwrap();
            points.into_iter().map(|point| point.value).sum()
        }

        /// What the link of the day gives, unpacked.
        async fn log(&self) -> String {
            let traffic = self.pilothouse.traffic();
            let days = traffic.logs(&self.caller, "a.example.com", "20261121", "20261121").await.unwrap();
            let (_, link) = days[0].url.rsplit_once('/').unwrap();
            let (file, query) = link.split_once('?').unwrap();
            let (expires, sig) = query.strip_prefix("expires=").unwrap().split_once("&sig=").unwrap();
            let log = traffic.open_log(file, expires, sig).await.unwrap();
            let parts: Vec<Vec<u8>> = log.content.try_collect().await.unwrap();
            let packed = parts.concat();
            assert_eq!(i64::try_from(packed.len()).unwrap(), days[0].size);
            std::io::read_to_string(MultiGzDecoder::new(&packed[..])).unwrap()
        }
    }

    fn line(host: &str, bytes: i64, address: &str) -> String {
        format!("{TIME}.037\t{host}\t200\t{bytes}\t{address}\tHIT\t0.000\tGET\t/b/{bytes}\n")
    }

    fn gzipped(content: &str) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(content.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_log_is_counted_once_however_it_comes() {
        let world = World::new().await;
        let (changchun, nowhere) = ("175.16.199.1", "127.0.0.1");
        let (first, second) = (line("a.example.com", 100, changchun), line("a.example.com", 20, nowhere));
        let whole = [&*first, &second, &line("b.example.com", 7, nowhere), &line("c.com", 1, nowhere), "?\n"]
            .concat();
        let report = world.ingest("one.tsv", whole.as_bytes()).await.unwrap();
        let counters = Counters { lines: 5, billed: 3, kept: 3, unreadable: 1, unregistered: 1, purges: 0 };
        assert_eq!(report, Report { counters, known: 0 });
        let known = whole.len() as u64;
        assert_eq!(
            report.to_string(),
            "lines 5, billed 3, kept 3, unreadable 1, unregistered 1, purges 0, known bytes 0"
        );
        assert_eq!(world.flux().await, 120);

        let nothing = Report { known, ..Report::default() };
        assert_eq!(world.ingest("again.tsv", whole.as_bytes()).await.unwrap(), nothing);
        assert_eq!(world.ingest("renamed.gz", &gzipped(&whole)).await.unwrap(), nothing);
        let third = line("a.example.com", 3, nowhere);
        let report = world.ingest("grown.gz", &gzipped(&format!("{whole}{third}"))).await.unwrap();
        assert_eq!((report.counters.lines, report.counters.billed, report.known), (1, 1, known));
        assert_eq!(world.flux().await, 123);
        assert_eq!(world.log().await, [first, second, third].concat());

        let rows = world.pilothouse.traffic().fluxs_area(&world.caller, &World::query()).await.unwrap();
        let rows: Vec<_> = rows.iter().map(|row| (&*row.city, &*row.city_cn, row.value)).collect();
        assert_eq!(rows, [("Changchun", "长春", 100), ("Unknown", "未知", 23)]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_open_line_is_replaced_when_it_grows() {
        let world = World::new().await;
        let (first, second) =
            (line("a.example.com", 100, "127.0.0.1"), line("a.example.com", 29, "127.0.0.1"));
        let cut = second.len() - 2;
        world.ingest("cut.tsv", format!("{first}{}", &second[..cut]).as_bytes()).await.unwrap();
        world.ingest("whole.tsv", format!("{first}{second}").as_bytes()).await.unwrap();
        assert_eq!(world.flux().await, 129);
        assert_eq!(world.log().await, format!("{first}{second}"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn at_once_is_once() {
        let world = World::new().await;
        let content = line("a.example.com", 100, "127.0.0.1").repeat(1000);
        let [a, b, c] = ["a.tsv", "b.tsv", "c.tsv"].map(|name| world.ingest(name, content.as_bytes()));
        let (a, b, c) = tokio::join!(a, b, c);
        let lines: Vec<_> = [a, b, c].map(|report| report.unwrap().counters.lines).into();
        assert_eq!(lines.iter().sum::<i64>(), 1000, "{lines:?}");
        assert_eq!(world.flux().await, 100_000);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_cannot_be_read_is_named() {
        let world = World::new().await;
        let mut cut = gzipped(&line("a.example.com", 100, "127.0.0.1").repeat(100));
        cut.truncate(cut.len() - 9);
        let failure = world.ingest("cut.gz", &cut).await.unwrap_err().to_string();
        assert!(failure.contains("cut.gz"), "{failure}");
        let options = Ingest {
            files: vec![world.place.path().join("none.tsv")],
            cdn: "level3".to_owned(),
            edge: "edge-1".to_owned(),
            format: Format::Combined,
            domain: None,
        };
        let ingest = |options| ingest(world.pilothouse.clone(), world.folder.clone(), None, options);
        let failure = ingest(options.clone()).await.unwrap_err().to_string();
        assert!(failure.contains("none.tsv"), "{failure}");
        let failure = ingest(Ingest { cdn: "nowhere".to_owned(), ..options.clone() }).await.unwrap_err();
        assert!(failure.to_string().contains("nowhere"), "{failure}");
        let log = world.place.path().join("cut.gz");
        let failure = ingest(Ingest { files: vec![log], ..options }).await.unwrap_err().to_string();
        assert!(failure.contains("--domain"), "{failure}");
    }
}
