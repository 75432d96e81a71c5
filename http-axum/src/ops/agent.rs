//! `/api/agent/*`: what agents of machines call, with tokens of their own.

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use pilothouse_core::Error;
use pilothouse_core::ops::{
    AgentCaller, AgentFacts, AgentOrder, OrderReport, OrderResult, Phase, Poll, ResultState, Sha256Digest,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::args::{Args, NoArgs};
use crate::caller::bearer;
use crate::envelope::{Failure, Info, Reply, info};
use crate::state::ApiState;

/// The authenticated agent. Tokens of accounts are none, and a token of an agent is none of an account.
pub(super) struct AgentAuth(pub(super) AgentCaller);

impl FromRequestParts<ApiState> for AgentAuth {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &ApiState) -> Result<Self, Failure> {
        let token = bearer(parts).ok_or(Error::Unauthenticated)?;
        Ok(Self(api.pilothouse.agents().authenticate(token).await?))
    }
}

/// Enrolment of an agent.
#[derive(Deserialize, ToSchema)]
pub(super) struct Enrol {
    /// The one-time code: 64 hexadecimal digits.
    #[schema(
        min_length = 1,
        max_length = 128,
        example = "f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09"
    )]
    code: String,
    /// What the agent says about its machine.
    facts: Option<Facts>,
}

/// What an agent says about its machine.
#[derive(Deserialize, ToSchema)]
pub(super) struct Facts {
    /// Host name.
    #[schema(max_length = 1024, example = "web01")]
    hostname: Option<String>,
    /// Operating system.
    #[schema(max_length = 1024, example = "Debian GNU/Linux 12")]
    os: Option<String>,
    /// Release of the kernel.
    #[schema(max_length = 1024, example = "6.1.0")]
    kernel: Option<String>,
    /// Version of the agent.
    #[schema(max_length = 1024, example = "0.1.0")]
    version: Option<String>,
    /// Addresses of the interfaces, separated by blanks.
    #[schema(max_length = 1024, example = "10.2.2.2")]
    addresses: Option<String>,
}

/// Machine and token of an agent.
#[derive(Serialize, ToSchema)]
pub(super) struct EnrolledAgent {
    /// Number of the machine.
    #[schema(example = 1)]
    machine_id: i64,
    /// The bearer token: 64 hexadecimal digits.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        example = "f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09"
    )]
    token: String,
}

/// Enrols an agent by a one-time code of its machine, and sets `is_initialized`. The code is the HTTP status, too.
#[utoipa::path(
    post,
    path = "/api/agent/enroll",
    tag = "ops",
    request_body = Enrol,
    extensions(("x-permission" = json!("none"))),
    responses((status = 200, description = "Machine and token.", body = Info<EnrolledAgent>)),
)]
pub(super) async fn post_agent_enroll(
    State(api): State<ApiState>,
    Args(Enrol { code, facts }): Args<Enrol>,
) -> Reply<Info<EnrolledAgent>> {
    let facts = facts.map_or_else(AgentFacts::default, |facts| AgentFacts {
        hostname: facts.hostname.unwrap_or_default(),
        os: facts.os.unwrap_or_default(),
        kernel: facts.kernel.unwrap_or_default(),
        version: facts.version.unwrap_or_default(),
        addresses: facts.addresses.unwrap_or_default(),
    });
    let enrolled = api.pilothouse.agents().redeem(&code, facts).await?;
    info(EnrolledAgent { machine_id: enrolled.machine.0, token: enrolled.token })
}

/// Another token of an agent.
#[derive(Serialize, ToSchema)]
pub(super) struct RenewedToken {
    /// The bearer token: 64 hexadecimal digits.
    #[schema(
        pattern = "^[0-9a-f]{64}$",
        example = "f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09"
    )]
    token: String,
}

/// Gives the agent another token. The one that it has is good until the new one is first used. The code is the HTTP status, too.
#[utoipa::path(
    post,
    path = "/api/agent/renew",
    tag = "ops",
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the machine's agent, by its token"))),
    responses((status = 200, description = "The token.", body = Info<RenewedToken>)),
)]
pub(super) async fn post_agent_renew(
    State(api): State<ApiState>,
    AgentAuth(agent): AgentAuth,
    Args(NoArgs {}): Args<NoArgs>,
) -> Reply<Info<RenewedToken>> {
    info(RenewedToken { token: api.pilothouse.agents().renew(&agent).await? })
}

/// Poll for an order.
#[derive(Deserialize, ToSchema)]
pub(super) struct PollArgs {
    /// Id of the agent's state folder.
    #[schema(min_length = 1, max_length = 64, example = "6f3d2b1a09f7d2a0")]
    instance: String,
    /// Id of the boot of the machine.
    #[schema(min_length = 1, max_length = 64, example = "0a0c5b64a4a9b1c8")]
    boot: String,
    /// Number of the poll, for logs between here and there.
    #[schema(minimum = 0, example = 1)]
    seq: Option<i64>,
    /// Seconds to hold the poll while there is no order.
    #[schema(minimum = 0, maximum = 50, default = 0, example = 0)]
    wait: Option<i64>,
}

/// Order for an agent.
#[derive(Serialize, ToSchema)]
pub(super) struct OrderInfo {
    /// Task id: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// Number of the attempt, from 1.
    #[schema(example = 1)]
    attempt: i64,
    /// `update`, `revert` or `plan`.
    #[schema(example = "update")]
    action: &'static str,
    /// Path of the file.
    #[schema(example = "/etc/nginx/nginx.conf")]
    path: String,
    /// SHA-256 of the new content.
    #[schema(example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    sha256: String,
    /// Bytes of the new content.
    #[schema(example = 60000)]
    size: i64,
    /// Mode in octal digits; `null` for that of the old file.
    mode: Option<String>,
    /// User; `null` for that of the old file.
    owner: Option<String>,
    /// Group; `null` for that of the old file.
    group: Option<String>,
    /// SHA-256 that the file must have now.
    expect_sha256: Option<String>,
    /// Name of the command that checks the staged file.
    check: Option<String>,
    /// Name of the command that runs after the file was replaced.
    reload: Option<String>,
    /// Confirm window in seconds, 0 for none.
    #[schema(example = 0)]
    confirm_seconds: i64,
    /// Only of a revert that may overwrite a file that was changed since.
    #[serde(skip_serializing_if = "Option::is_none")]
    force: Option<bool>,
    /// End of the lease in unix seconds.
    #[schema(example = 1_795_876_076)]
    lease_until: Option<i64>,
    /// Unix time after which the order may no longer begin.
    #[schema(example = 1_795_962_476)]
    deadline: Option<i64>,
}

impl From<AgentOrder> for OrderInfo {
    fn from(AgentOrder { path, content, order }: AgentOrder) -> Self {
        Self {
            task_id: order.task_id.to_string(),
            attempt: order.attempt,
            action: order.action.as_str(),
            path,
            sha256: content.sha256.to_string(),
            size: content.size,
            mode: content.mode,
            owner: content.owner,
            group: content.group,
            expect_sha256: content.expect_sha256.map(|digest| digest.to_string()),
            check: content.check,
            reload: content.reload,
            confirm_seconds: content.confirm_seconds,
            force: order.is_forced.then_some(true),
            lease_until: order.lease_until.map(|end| end.timestamp()),
            deadline: order.deadline.map(|end| end.timestamp()),
        }
    }
}

/// Gives the agent an order, as soon as there is one within the wait.
///
/// The same instance that asks again is given the attempt that it has. While one instance of a machine is alive, another is
/// refused with 409. The code is the HTTP status, too.
#[utoipa::path(
    post,
    path = "/api/agent/poll",
    tag = "ops",
    request_body = PollArgs,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the machine's agent, by its token"))),
    responses(
        (status = 200, description = "An order.", body = Info<OrderInfo>),
        (status = 204, description = "No order within the wait."),
        (status = 409, description = "Another instance of the machine's agent is alive."),
    ),
)]
pub(super) async fn post_agent_poll(
    State(api): State<ApiState>,
    AgentAuth(agent): AgentAuth,
    Args(poll): Args<PollArgs>,
) -> Result<Response, Failure> {
    if poll.seq.is_some_and(i64::is_negative) {
        return Err(Error::invalid("seq", "must not be negative").into());
    }
    let poll = Poll { instance: poll.instance, boot: poll.boot, wait: poll.wait.unwrap_or(0) };
    match api.pilothouse.agents().poll(&agent, &poll).await? {
        Some(order) => Ok(info(OrderInfo::from(order))?.into_response()),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Report on an order.
#[derive(Deserialize, ToSchema)]
pub(super) struct ReportArgs {
    /// The task.
    #[schema(max_length = 45, example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// Number of the attempt.
    #[schema(minimum = 1, example = 1)]
    attempt: i64,
    /// Number that grows with every report of the attempt.
    #[schema(minimum = 0, example = 1)]
    seq: i64,
    /// `preflight`, `download`, `backup`, `stage`, `check`, `swap` or `confirm`. `swap` is reported before the file is
    /// replaced.
    #[schema(min_length = 1, max_length = 16, example = "preflight")]
    phase: String,
    /// Progress, 0 to 100.
    #[schema(minimum = 0, maximum = 100, example = 10)]
    percent: i64,
    /// SHA-256 of the file as it is.
    #[schema(
        pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    observed_sha256: Option<String>,
    /// Result, in the last report.
    result: Option<ResultArgs>,
    /// Cause of a failure.
    #[schema(max_length = 4096, example = "")]
    message: Option<String>,
    /// Output of commands.
    #[schema(max_length = 65536, example = "")]
    log: Option<String>,
}

/// Result of an attempt.
#[derive(Deserialize, ToSchema)]
pub(super) struct ResultArgs {
    /// `succeeded`, `failed`, `conflict`, `reverted`, `revert_failed` or `planned`.
    #[schema(min_length = 1, max_length = 16, example = "succeeded")]
    state: String,
    /// SHA-256 of the file that the update found.
    #[schema(
        pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    old_sha256: Option<String>,
    /// SHA-256 of the content of the order.
    #[schema(
        pattern = "^[0-9a-fA-F]{64}$",
        example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    new_sha256: Option<String>,
    /// Whether the attempt changed the file.
    #[schema(example = true)]
    changed: Option<bool>,
    /// What an update would do.
    #[schema(value_type = Option<Object>)]
    plan: Option<Value>,
}

impl ResultArgs {
    fn result(self) -> Result<OrderResult, Error> {
        let state = ResultState::from_name(&self.state);
        if state == Some(ResultState::Planned) && self.changed == Some(true) {
            return Err(Error::invalid("result.changed", "must be false of a plan"));
        }
        if let Some(text) = &self.new_sha256 {
            Sha256Digest::parse("result.new_sha256", text)?;
        }
        Ok(OrderResult {
            state: state.ok_or_else(|| Error::invalid("result.state", "is not known"))?,
            old_sha256: digest("result.old_sha256", self.old_sha256)?,
            plan: self.plan.map(|plan| plan.to_string()).unwrap_or_default(),
        })
    }
}

fn digest(field: &'static str, text: Option<String>) -> Result<Option<Sha256Digest>, Error> {
    text.map(|text| Sha256Digest::parse(field, &text)).transpose()
}

/// Answer to a report.
#[derive(Serialize, ToSchema)]
pub(super) struct ReportInfo {
    /// End of the lease in unix seconds.
    #[schema(example = 1_795_876_076)]
    lease_until: i64,
    /// `go`; `cancel`: stop before the file is replaced; or `revert`: it may have been replaced, put the old one back.
    #[schema(example = "go")]
    command: &'static str,
}

/// Takes a report and renews the lease. A stale attempt is 409: the agent stops before its next irreversible step. The code is
/// the HTTP status, too.
#[utoipa::path(
    post,
    path = "/api/agent/report",
    tag = "ops",
    request_body = ReportArgs,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("the machine's agent, by its token"))),
    responses(
        (status = 200, description = "The lease, and what to do.", body = Info<ReportInfo>),
        (status = 404, description = "The machine has no such order."),
        (status = 409, description = "The attempt is stale."),
    ),
)]
pub(super) async fn post_agent_report(
    State(api): State<ApiState>,
    AgentAuth(agent): AgentAuth,
    Args(args): Args<ReportArgs>,
) -> Reply<Info<ReportInfo>> {
    let phase = Phase::from_name(&args.phase).ok_or_else(|| Error::invalid("phase", "is not known"))?;
    let report = OrderReport {
        attempt: args.attempt,
        seq: args.seq,
        phase,
        percent: args.percent,
        observed_sha256: digest("observed_sha256", args.observed_sha256)?,
        result: args.result.map(ResultArgs::result).transpose()?,
        message: args.message.unwrap_or_default(),
        log: args.log.unwrap_or_default(),
    };
    let answer = api.pilothouse.agents().report(&agent, args.task_id.parse()?, &report).await?;
    info(ReportInfo { lease_until: answer.lease_until.timestamp(), command: answer.command.as_str() })
}
