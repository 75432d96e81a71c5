//! `/api/machine`: one machine with its agent and what it is to do.

use axum::extract::State;
use pilothouse_core::ops::{Agent, AgentFacts, FileOrder, MachineView};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::machine_info::MachineInfo;
use crate::args::Args;
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// Machine to look at.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OneMachine {
    /// Name of the machine.
    #[param(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
}

/// Machine with its agent and what it is to do.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineDetails {
    /// The machine.
    machine: MachineInfo,
    /// Its agent; `null` where none is enrolled.
    agent: Option<AgentInfo>,
    /// Orders that were given and have not ended.
    tasks: Vec<OpenOrder>,
}

/// Agent of a machine.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentInfo {
    /// Version of the agent, as it said when it was enrolled.
    #[schema(example = "0.1.0")]
    version: String,
    /// Whether it polls.
    #[schema(example = true)]
    online: bool,
    /// Time of its last poll or report in unix seconds; `null` before the first.
    #[schema(example = 1_480_471_675)]
    last_seen: Option<i64>,
    /// Instance and boot of the last poll; empty before.
    #[schema(example = "6f3d2b1a09f7d2a0 0a0c5b64a4a9b1c8")]
    instance: String,
    /// Whether another live instance with the same token was refused within five minutes: a cloned machine.
    #[schema(example = false)]
    duplicate: bool,
    /// Time at which another instance was last refused, in unix seconds.
    duplicate_seen: Option<i64>,
    /// Host name.
    #[schema(example = "web01")]
    hostname: String,
    /// Operating system.
    #[schema(example = "Linux")]
    os: String,
    /// Release of the kernel.
    #[schema(example = "6.1.0")]
    kernel: String,
    /// Addresses of its interfaces, separated by blanks.
    #[schema(example = "10.2.2.2")]
    addresses: String,
}

/// Order of a machine that has not ended.
#[derive(Serialize, ToSchema)]
pub(super) struct OpenOrder {
    /// Task id: 32 hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{32}$", example = "0358c3c78f5211e685855cf9389306a2")]
    task_id: String,
    /// `queued`, `running`, `reverting` or `unknown`.
    #[schema(example = "queued")]
    state: &'static str,
    /// `update`, `revert` or `plan`.
    #[schema(example = "update")]
    action: &'static str,
    /// Number of the last attempt, from 1; 0 before.
    #[schema(example = 0)]
    attempt: i64,
}

impl From<FileOrder> for OpenOrder {
    fn from(order: FileOrder) -> Self {
        Self {
            task_id: order.task_id.to_string(),
            state: order.state.as_str(),
            action: order.action.as_str(),
            attempt: order.attempt,
        }
    }
}

impl From<MachineView> for MachineDetails {
    fn from(view: MachineView) -> Self {
        let MachineView { machine, agent, is_online, has_duplicate, orders } = view;
        let shown = |agent: Agent| {
            let AgentFacts { hostname, os, kernel, version, addresses } = agent.facts;
            AgentInfo {
                version,
                online: is_online,
                last_seen: agent.last_seen.map(|seen| seen.timestamp()),
                instance: agent.instance,
                duplicate: has_duplicate,
                duplicate_seen: agent.duplicate_seen.map(|seen| seen.timestamp()),
                hostname,
                os,
                kernel,
                addresses,
            }
        };
        let tasks = orders.into_iter().map(OpenOrder::from).collect();
        Self { machine: machine.into(), agent: agent.map(shown), tasks }
    }
}

/// Tells of one machine its agent, whether that is online, and its open orders.
#[utoipa::path(
    get,
    path = "/api/machine",
    tag = "ops",
    params(OneMachine),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 4"))),
    responses((status = 200, description = "The machine.", body = Info<MachineDetails>)),
)]
pub(super) async fn get_machine(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(OneMachine { machine_name }): Args<OneMachine>,
) -> Reply<Info<MachineDetails>> {
    info(api.pilothouse.agents().machine(&caller, &machine_name).await?.into())
}
