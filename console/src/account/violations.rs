//! `/csp`: browsers' reports of what the content policy stopped.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use serde::Deserialize;

/// The most bytes of a report that are read.
const MOST_BYTES: usize = 16 << 10;
/// The most bytes of a report's texts that are logged.
const LOGGED: usize = 200;

/// Report of one violation, as `report-uri` has it.
#[derive(Deserialize)]
struct Report {
    #[serde(rename = "csp-report")]
    violation: Violation,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Violation {
    #[serde(default)]
    effective_directive: String,
    #[serde(default)]
    blocked_uri: String,
}

/// Text of a stranger, for the log.
fn logged(text: &str) -> String {
    let plain = text.chars().filter(|character| !character.is_control());
    plain.take(LOGGED).collect()
}

/// Counts a report. Whoever can reach the server can send one, so it is logged at a level that is off by default.
pub(crate) async fn post_report(request: Request) -> StatusCode {
    metrics::counter!("pilothouse_console_csp_reports_total").increment(1);
    let Ok(bytes) = to_bytes(request.into_body(), MOST_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    if let Ok(Report { violation }) = serde_json::from_slice::<Report>(&bytes) {
        let (directive, blocked) = (logged(&violation.effective_directive), logged(&violation.blocked_uri));
        tracing::debug!(directive, blocked, "the content policy stopped something");
    }
    StatusCode::NO_CONTENT
}
