//! `/files`: contents of tasks, uploaded from the browser and kept under their SHA-256.

use askama::Template;
use axum::body::Bytes;
use axum::extract::Multipart;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use pilothouse_core::Error;
use pilothouse_core::account::Group;
use pilothouse_core::ops::{Appended, Sha256Digest};
use pilothouse_core::ports::BlobState;
use sha2::{Digest, Sha256};

use crate::failure::{Answer, Failure, is_correctable};
use crate::form::filled;
use crate::page::{Page, Visitor, html, html_again};

/// The most bytes of a file that a form may carry, which is held in memory. Greater ones go through the API in pieces.
pub(crate) const MOST_BYTES: usize = 64 << 20;
/// Bytes of the form around the file.
pub(crate) const FORM_BYTES: usize = 64 << 10;
/// Bytes handed to the store at once.
const PIECE: usize = 4 << 20;

#[derive(Template)]
#[template(path = "uploads.html")]
struct FilesPage {
    page: Page,
    /// Whether there is a store of files.
    is_kept: bool,
    may_read: bool,
    uploaded: Option<Uploaded>,
    expected: String,
    most_mib: usize,
}

/// A file that was uploaded.
struct Uploaded {
    sha256: Sha256Digest,
    size: i64,
    name: String,
}

async fn form(visitor: &Visitor, uploaded: Option<Uploaded>, expected: String) -> Result<FilesPage, Failure> {
    if !visitor.caller.holds(Group::WriteTasks) {
        return Err(Error::Forbidden.into());
    }
    let is_kept = visitor.pilothouse().blob_store().is_ok();
    let may_read = visitor.caller.holds(Group::ReadTasks);
    let page = visitor.page(visitor.t.ops().files).await?;
    Ok(FilesPage { page, is_kept, may_read, uploaded, expected, most_mib: MOST_BYTES >> 20 })
}

/// The form.
pub(crate) async fn get_files(visitor: Visitor) -> Answer {
    html(&form(&visitor, None, String::new()).await?)
}

/// Fields of a form with a file.
#[derive(Default)]
struct Sent {
    name: String,
    bytes: Bytes,
    expected: String,
}

async fn read(mut parts: Multipart) -> Result<Sent, Failure> {
    let broken = |error: MultipartError| Failure::Unreadable(error.body_text());
    let mut sent = Sent::default();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        match part.name().unwrap_or_default() {
            "file" => {
                sent.name = part.file_name().unwrap_or_default().to_owned();
                sent.bytes = part.bytes().await.map_err(broken)?;
            }
            "sha256" => sent.expected = part.text().await.map_err(broken)?,
            other => return Err(Failure::Unreadable(format!("unknown field `{other}`"))),
        }
    }
    Ok(sent)
}

/// Keeps a file.
pub(crate) async fn post_file(visitor: Visitor, parts: Result<Multipart, MultipartRejection>) -> Answer {
    // Refused before its bytes are waited for.
    if !visitor.caller.holds(Group::WriteTasks) {
        return Err(Error::Forbidden.into());
    }
    let parts = parts.map_err(|rejection| Failure::Unreadable(rejection.body_text()))?;
    let Sent { name, bytes, expected } = read(parts).await?;
    match keep(&visitor, &bytes, &expected).await {
        Ok(sha256) => {
            let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            html(&form(&visitor, Some(Uploaded { sha256, size, name }), String::new()).await?)
        }
        Err(error) if is_correctable(&error) => {
            let mut again = form(&visitor, None, expected).await?;
            again.page = again.page.with_problem(&error);
            html_again(&again, &error)
        }
        Err(error) => Err(error.into()),
    }
}

async fn keep(visitor: &Visitor, bytes: &[u8], expected: &str) -> Result<Sha256Digest, Error> {
    if bytes.is_empty() {
        return Err(Error::invalid("file", "must not be empty"));
    }
    let sha256 = Sha256Digest(Sha256::digest(bytes).into());
    let expected = filled(expected).map(|text| Sha256Digest::parse("sha256", text)).transpose()?;
    if expected.is_some_and(|expected| expected != sha256) {
        return Err(Error::invalid("sha256", format!("{} {sha256}", visitor.t.ops().wrong_hash)));
    }
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let (blobs, caller) = (visitor.pilothouse().blobs(), &visitor.caller);
    let mut offset = 0;
    loop {
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let piece = &rest[..rest.len().min(PIECE)];
        offset = match blobs.append(caller, sha256, size, offset, piece).await? {
            Appended::Taken(BlobState { is_complete: true, .. }) => return Ok(sha256),
            Appended::Taken(state) => state.offset,
            // Somebody began the same file: it goes on from there.
            Appended::WrongOffset(wanted) => wanted,
        };
    }
}
