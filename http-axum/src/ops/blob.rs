//! `/api/blob`: contents of tasks, uploaded in pieces.

use axum::extract::{Request, State};
use pilothouse_core::ops::{Appended, Sha256Digest};
use pilothouse_core::ports::BlobState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Args, body, query};
use crate::caller::Auth;
use crate::envelope::{Failure, Info, Reply, info};
use crate::state::ApiState;

/// How far a blob has come.
#[derive(Serialize, ToSchema)]
pub(super) struct BlobInfo {
    /// SHA-256 of the whole: 64 hexadecimal digits.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    sha256: String,
    /// Bytes of the whole.
    #[schema(example = 0)]
    size: i64,
    /// Whether it is whole, and its hash was checked.
    complete: bool,
    /// Offset at which the next piece begins.
    #[schema(example = 0)]
    offset: i64,
}

impl BlobInfo {
    fn new(sha256: Sha256Digest, state: BlobState) -> Self {
        let BlobState { size, offset, is_complete } = state;
        Self { sha256: sha256.to_string(), size, complete: is_complete, offset }
    }
}

/// Blob to look for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BlobQuery {
    /// SHA-256 of the whole: 64 hexadecimal digits.
    #[param(
        pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    sha256: String,
}

/// Tells how far a blob has come. The code is the HTTP status, too: 404 where nobody began it.
#[utoipa::path(
    get,
    path = "/api/blob",
    tag = "ops",
    params(BlobQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 1"))),
    responses(
        (status = 200, description = "The blob.", body = Info<BlobInfo>),
        (status = 404, description = "Nobody began it."),
    ),
)]
pub(super) async fn get_blob(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(BlobQuery { sha256 }): Args<BlobQuery>,
) -> Reply<Info<BlobInfo>> {
    let sha256 = sha256.parse()?;
    info(BlobInfo::new(sha256, api.pilothouse.blobs().find(&caller, sha256).await?))
}

/// Piece of a blob.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Piece {
    /// SHA-256 of the whole: 64 hexadecimal digits.
    #[param(
        pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    sha256: String,
    /// Bytes of the whole, at most `blob_max_bytes` of the settings: 1 GiB.
    #[param(minimum = 0, example = 0)]
    size: i64,
    /// Offset of the body in the whole.
    #[param(minimum = 0, example = 0)]
    offset: i64,
}

/// Refusal of a piece.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the shape of a failure, for the document")]
pub(super) struct OffsetConflict {
    /// 409.
    #[schema(example = 409)]
    code: i64,
    /// False.
    ok: bool,
    /// What is wrong.
    #[schema(example = "the next piece begins at 0")]
    info: String,
    /// Offset at which the next piece begins, where that was wrong.
    #[schema(example = 0)]
    offset: Option<i64>,
}

/// Appends a piece of at most 8 MiB, and tells the offset of the next one. The answer means that it is durable.
///
/// A piece that begins elsewhere than at the offset wanted is refused with 409, which names it as `offset`. At `size` the hash
/// is checked; a wrong blob is dropped (400). A blob that is not complete, or that no task names, lives 24 h from its last
/// piece. The code is the HTTP status, too.
#[utoipa::path(
    put,
    path = "/api/blob",
    tag = "ops",
    params(Piece),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The bytes from `offset` on."),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 2"))),
    responses(
        (status = 200, description = "How far the blob has come.", body = Info<BlobInfo>),
        (status = 409, description = "The piece begins elsewhere, or the blob was begun with another size.", body = OffsetConflict),
    ),
)]
pub(super) async fn put_blob(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    request: Request,
) -> Reply<Info<BlobInfo>> {
    let (parts, content) = request.into_parts();
    let Piece { sha256, size, offset } = query(&parts.uri)?;
    let sha256 = sha256.parse()?;
    let blobs = api.pilothouse.blobs();
    // A body that cannot be taken is not worth waiting for.
    blobs.check_append(&caller, sha256, size).await?;
    let content = body(&parts.headers, content).await?;
    match blobs.append(&caller, sha256, size, offset, &content).await? {
        Appended::Taken(state) => info(BlobInfo::new(sha256, state)),
        Appended::WrongOffset(wanted) => Err(Failure::WrongOffset { wanted }),
    }
}
