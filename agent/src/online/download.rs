//! Download of a content: resumed by range, checked by its hash, never longer than declared.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use reqwest::StatusCode;

use super::server::{CallError, Server};
use crate::digest;
use crate::error::{Context, Refusal, Result};
use crate::order::Content;

/// Attempts at one content, each of which goes on where the one before broke off.
const ATTEMPTS: u32 = 5;

/// Fetches the content of an order into the state folder; its path. `is_stopped` is asked between pieces.
pub(super) fn download(
    server: &Server,
    state: &Path,
    content: &Content,
    is_stopped: &dyn Fn() -> Option<String>,
) -> Result<PathBuf> {
    let folder = state.join("download");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .context("creating the download folder")?;
    let path = folder.join(content.sha256.as_str());
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match fetch(server, &path, content, is_stopped)? {
            Fetched::Whole => return Ok(path),
            Fetched::Wrong => {
                fs::remove_file(&path).context("removing a wrong download")?;
                last = String::from("it is not what its hash says");
            }
            Fetched::Broken(why) => last = why,
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    Err(Refusal::Blob(format!("could not be fetched: {last}")).into())
}

enum Fetched {
    Whole,
    /// Its hash or length is not the declared one.
    Wrong,
    /// It broke off; what arrived stays.
    Broken(String),
}

fn fetch(
    server: &Server,
    path: &Path,
    content: &Content,
    is_stopped: &dyn Fn() -> Option<String>,
) -> Result<Fetched> {
    let writing = || format!("writing {}", path.display());
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).read(true).write(true).mode(0o600).open(path);
    let mut file = file.context(writing())?;
    let mut held = digest::hash(&mut file).context(writing())?.size;
    if held < content.size {
        let mut response = match server.content(content.sha256.as_str(), held) {
            Ok(response) => response,
            Err(CallError::Refused(StatusCode::RANGE_NOT_SATISFIABLE, _)) => return Ok(Fetched::Wrong),
            Err(CallError::Refused(_, why)) => return Err(Refusal::Blob(why).into()),
            Err(CallError::Unavailable(why)) => return Ok(Fetched::Broken(why)),
        };
        if response.status() != StatusCode::PARTIAL_CONTENT {
            // The whole, although a part was asked for.
            held = 0;
            file.set_len(0).context(writing())?;
        }
        file.seek(SeekFrom::Start(held)).context(writing())?;
        loop {
            if let Some(why) = is_stopped() {
                return Err(Refusal::Stopped(why).into());
            }
            match server.chunk(&mut response) {
                Ok(Some(bytes)) => {
                    held += bytes.len() as u64;
                    if held > content.size {
                        return Ok(Fetched::Wrong);
                    }
                    file.write_all(&bytes).context(writing())?;
                }
                Ok(None) => break,
                Err(CallError::Refused(_, why) | CallError::Unavailable(why)) => {
                    return Ok(Fetched::Broken(why));
                }
            }
        }
    }
    verified(&mut file, content)
}

fn verified(file: &mut File, content: &Content) -> Result<Fetched> {
    file.seek(SeekFrom::Start(0)).context("reading the download")?;
    let found = digest::hash(file).context("reading the download")?;
    if found.size < content.size {
        return Ok(Fetched::Broken("it ended early".to_owned()));
    }
    let is_whole = found.size == content.size && found.sha256 == content.sha256;
    Ok(if is_whole { Fetched::Whole } else { Fetched::Wrong })
}
