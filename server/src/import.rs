//! `pilothouse import`: what other systems knew, into the store.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_core::Pilothouse;
use pilothouse_core::import::{ImportDocument, ImportKind, ImportMode, ImportProgress, ImportReport};

use crate::args::Import;
use crate::failure::Failure;
use crate::terminal::print;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;
/// Time between two lines of progress.
const INTERVAL: Duration = Duration::from_millis(100);

/// Reads the file of an import. Several documents, one after the other, are one.
pub(crate) fn read(file: &Path) -> Result<ImportDocument, Failure> {
    let failed = |error| Failure::failed(file.display(), error);
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).map_err(failed)?)
    };
    let reader = Counted { reader, bytes: 0, line: ProgressLine::default() };
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(CHUNK, reader));
    let mut whole = None::<ImportDocument>;
    // The end of what there is; an error says that more follows, or what is wrong with it.
    while json.end().is_err() {
        let document = serde_path_to_error::deserialize(&mut json);
        let document = document.map_err(|error| Failure::failed(file.display(), error))?;
        match &mut whole {
            Some(whole) => whole.append(document),
            None => whole = Some(document),
        }
    }
    whole.ok_or_else(|| Failure::died(format!("{}: holds no JSON document", file.display())))
}

/// Imports a document, and prints what was imported, what was skipped, and why.
pub(crate) async fn import(
    pilothouse: &Pilothouse,
    document: &ImportDocument,
    options: &Import,
) -> Result<(), Failure> {
    let mode = if options.dry_run { ImportMode::DryRun } else { ImportMode::Commit };
    let mut line = ProgressLine::default();
    let done = pilothouse.imports().run(document, mode, &mut line).await;
    drop(line);
    let report = done.map_err(|error| {
        let file = options.file.display();
        Failure::failed(format!("{file}: nothing was imported"), error)
    })?;
    print_report(&report)?;
    if options.dry_run { print("dry run: nothing was changed") } else { Ok(()) }
}

fn print_report(report: &ImportReport) -> Result<(), Failure> {
    for kind in ImportKind::ALL {
        let counts = report.of(kind);
        if counts.imported + counts.skipped + counts.all_notes == 0 {
            continue;
        }
        print(&format!("{}: {} imported, {} skipped", kind.as_str(), counts.imported, counts.skipped))?;
        counts.notes.iter().try_for_each(|note| print(&format!("  {note}")))?;
        let more = counts.all_notes - counts.notes.len() as u64;
        if more > 0 {
            print(&format!("  and {more} more"))?;
        }
    }
    Ok(())
}

/// Reader that shows how much was read.
struct Counted<R> {
    reader: R,
    bytes: u64,
    line: ProgressLine,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.bytes += count as u64;
        let mebibytes = self.bytes >> 20;
        if mebibytes > 0 {
            self.line.show(&format!("{mebibytes} MiB read"));
        }
        Ok(count)
    }
}

/// Line of progress on a terminal, which is removed at the end.
struct ProgressLine {
    is_terminal: bool,
    shown: Option<Instant>,
    begun: Instant,
}

impl Default for ProgressLine {
    fn default() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), shown: None, begun: Instant::now() }
    }
}

impl ProgressLine {
    fn show(&mut self, text: &str) {
        if self.is_terminal && self.shown.unwrap_or(self.begun).elapsed() >= INTERVAL {
            self.shown = Some(Instant::now());
            eprint!("\r\x1b[K{text}");
            // A terminal that went away is no reason to stop.
            let _ = std::io::stderr().flush();
        }
    }
}

impl ImportProgress for ProgressLine {
    fn advance(&mut self, kind: ImportKind, done: usize, all: usize) {
        self.show(&format!("{}: {done} of {all}", kind.as_str()));
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<ImportDocument, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path()).map_err(|failure| failure.to_string())
    }

    #[test]
    fn documents_one_after_the_other_are_one() {
        let document = read_text("{\"cdns\":[{\"name\":\"a\"}]}\n{\"cdns\":[{\"name\":\"b\"}]}\n").unwrap();
        let names: Vec<_> = document.cdns.iter().map(|cdn| &*cdn.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(read_text("{}").unwrap().cdns.is_empty());
    }

    #[test]
    fn the_place_of_what_cannot_be_read_is_named() {
        for (text, words) in [
            (" ", "holds no JSON document"),
            (
                "{\"cdns\":[{\"name\":\"a\"},{\"name\":5}]}",
                "cdns[1].name: invalid type: integer `5`, expected a string",
            ),
            ("{\"cdns\":[{\"nam\":\"a\"}]}", "cdns[0].nam: unknown field `nam`"),
            ("{\"cdns\":[{}]}", "cdns[0]: missing field `name`"),
            ("{\"cdns\":[", "line 1 column 9"),
            ("{} x", "line 1 column 4"),
        ] {
            let refused = read_text(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        assert!(read(Path::new("/no/such/file")).unwrap_err().to_string().contains("/no/such/file"));
    }
}
