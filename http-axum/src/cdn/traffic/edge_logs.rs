//! `/level3/edge_logs`: edges ship their access logs.

use std::io::{self, Read};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use pilothouse_core::Error;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{body, query};
use crate::caller::bearer;
use crate::envelope::{Done, Reply, done};
use crate::state::ApiState;

/// The most bytes of a piece, unpacked.
const UNPACKED: u64 = 64 << 20;

/// Edge and offset of a shipped piece.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Piece {
    /// The cdn that the edge belongs to.
    #[param(min_length = 1, max_length = 64, example = "level3")]
    cdn: String,
    /// Name of the edge.
    #[param(min_length = 1, max_length = 64, example = "edge-1")]
    edge: String,
    /// Offset of the body in the edge's log: bytes of all its files so far, before compression.
    #[param(minimum = 0, example = 0)]
    offset: i64,
}

/// Position after a shipped piece.
#[derive(Serialize, ToSchema)]
pub(super) struct Taken {
    /// Offset at which the next body is to begin.
    #[schema(example = 0)]
    pub(super) offset: i64,
}

/// Takes a piece of an edge's access log, and answers where the next one is to begin: after the last whole line taken, so
/// a line without its end is sent again. The answer means that it is durable.
///
/// The log is one stream that never begins anew: an edge that rotates its file goes on counting, so that the offset is the
/// bytes of the earlier files and of the present one together. What was taken before is skipped; a body that begins beyond
/// the offset wanted, or differs in what was taken before, is refused with 7 and takes nothing. An empty body asks for the
/// offset. A line longer than 1 MiB is skipped.
///
/// The body is lines as the settings say, or gzip of them, with or without `Content-Encoding: gzip`: at most 8 MiB, and
/// 64 MiB unpacked. The edge proves itself with its own key as the bearer token: with none of any edge 3, with another
/// edge's 4.
#[utoipa::path(
    post,
    path = "/level3/edge_logs",
    tag = "cdn",
    params(Piece),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "Lines, or gzip of them."),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the edge itself, by its key"))),
    responses((status = 200, description = "How far the log was taken.", body = Done<Taken>)),
)]
pub(super) async fn post_edge_logs(State(api): State<ApiState>, request: Request) -> Reply<Done<Taken>> {
    let (parts, content) = request.into_parts();
    let Piece { cdn, edge, offset } = query(&parts.uri)?;
    let (key, intake) = (bearer(&parts), api.pilothouse.log_intake());
    // Nobody else's body is worth waiting for.
    intake.authenticate_edge(&cdn, &edge, key)?;
    let content = body(&parts.headers, content).await?;
    let is_gzip = declares_gzip(&parts.headers)? || content.starts_with(&[0x1f, 0x8b]);
    let lines = if is_gzip {
        let unpacked = tokio::task::spawn_blocking(move || unpacked(&content, UNPACKED)).await;
        unpacked.map_err(|error| Error::Internal(format!("unpacking a log: {error}")))??
    } else {
        content.into()
    };
    let offset = intake.ship(&cdn, &edge, key, offset, &lines).await?;
    done(Taken { offset })
}

fn declares_gzip(headers: &HeaderMap) -> Result<bool, Error> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match encoding.to_str().unwrap_or_default().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "" | "identity" => Ok(false),
        _ => Err(Error::invalid("Content-Encoding", "must be gzip, or not be given")),
    }
}

fn unpacked(packed: &[u8], most: u64) -> Result<Vec<u8>, Error> {
    let mut lines = Vec::new();
    if packed.is_empty() {
        return Ok(lines);
    }
    let read: io::Result<usize> = MultiGzDecoder::new(packed).take(most + 1).read_to_end(&mut lines);
    read.map_err(|_| Error::invalid("body", "must be whole, undamaged gzip"))?;
    if lines.len() as u64 > most {
        return Err(Error::invalid("body", format!("must be at most {} MiB unpacked", most >> 20)));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn what_unpacks_to_too_much_is_refused() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&vec![b'\n'; (1 << 20) + 1]).unwrap();
        let bomb = gzip.finish().unwrap();
        let refused = unpacked(&bomb, 1 << 20).unwrap_err().to_string();
        assert_eq!(refused, "body: must be at most 1 MiB unpacked");
        assert_eq!(unpacked(&bomb, (1 << 20) + 1).unwrap().len(), (1 << 20) + 1);
    }
}
