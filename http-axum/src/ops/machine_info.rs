//! `/api/machine_info`: machines.

use std::net::IpAddr;

use axum::extract::State;
use pilothouse_core::ops::Machine;
use pilothouse_core::{Error, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Action, Args};
use crate::caller::Auth;
use crate::envelope::{Info, Reply, info};
use crate::state::ApiState;

/// A machine.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineInfo {
    /// Its place in the list.
    #[schema(example = 1)]
    id: i64,
    /// Its name, which identifies it.
    #[schema(example = "web01")]
    machine_name: String,
    /// Its address inside.
    #[schema(example = "10.2.2.2")]
    inside_ip: String,
    /// Its address outside.
    #[schema(example = "111.111.11.1")]
    outside_ip: String,
    /// What it is for.
    #[schema(example = "web 服务器1")]
    usage: String,
    /// 1 once it was set up, else 0.
    #[schema(minimum = 0, maximum = 1, example = 0)]
    is_initialized: i64,
    /// Where it stands.
    #[schema(example = "阿里云")]
    location: String,
}

impl From<Machine> for MachineInfo {
    fn from(machine: Machine) -> Self {
        let Machine { id, machine_name, inside_ip, outside_ip, usage, is_initialized, location } = machine;
        Self {
            id,
            machine_name,
            inside_ip: inside_ip.to_string(),
            outside_ip: outside_ip.to_string(),
            usage,
            is_initialized: is_initialized.into(),
            location,
        }
    }
}

/// Which machines to list: a page, or the one of that name.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MachineQuery {
    /// The smallest id returned.
    #[param(minimum = 0, default = 0, example = 0)]
    start: Option<i64>,
    /// The most rows returned.
    #[param(minimum = 1, maximum = 1000, default = 10, example = 10)]
    count: Option<i64>,
    /// Only the machine of this name.
    #[param(min_length = 1, max_length = 128, example = "web01")]
    machine_name: Option<String>,
}

/// Lists machines by id.
#[utoipa::path(
    get,
    path = "/api/machine_info",
    tag = "ops",
    params(MachineQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 4"))),
    responses((status = 200, description = "The machines.", body = Info<Vec<MachineInfo>>)),
)]
pub(super) async fn get_machine_info(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<MachineQuery>,
) -> Reply<Info<Vec<MachineInfo>>> {
    let machines = api.pilothouse.machines();
    let found = match query.machine_name {
        Some(machine_name) => vec![machines.find(&caller, &machine_name).await?],
        None => machines.list(&caller, Page::new(query.start, query.count)?).await?,
    };
    info(found.into_iter().map(MachineInfo::from).collect())
}

/// What to do.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostMachineInfo {
    /// Adds a machine.
    Add(MachineData),
    /// Replaces what is known of the machine of that name.
    Update(MachineData),
}

/// All that is known of a machine.
#[derive(Deserialize, ToSchema)]
pub(super) struct MachineData {
    /// Its name, which identifies it.
    #[schema(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
    /// Its IPv4 or IPv6 address inside.
    #[schema(min_length = 2, max_length = 45, example = "10.2.2.2")]
    inside_ip: String,
    /// Its IPv4 or IPv6 address outside.
    #[schema(min_length = 2, max_length = 45, example = "111.111.11.1")]
    outside_ip: String,
    /// What it is for; `userage`, as the document's sample has it, is accepted too.
    #[serde(alias = "userage")]
    #[schema(min_length = 1, max_length = 1024, example = "web 服务器1")]
    usage: String,
    /// 1 once it was set up, else 0.
    #[schema(minimum = 0, maximum = 1, example = 0)]
    is_initialized: i64,
    /// Where it stands.
    #[schema(min_length = 1, max_length = 256, example = "阿里云")]
    location: String,
}

impl MachineData {
    fn machine(self) -> Result<Machine, Error> {
        Ok(Machine {
            id: 0,
            machine_name: self.machine_name,
            inside_ip: address("inside_ip", &self.inside_ip)?,
            outside_ip: address("outside_ip", &self.outside_ip)?,
            usage: self.usage,
            is_initialized: match self.is_initialized {
                0 => false,
                1 => true,
                _ => return Err(Error::invalid("is_initialized", "must be 0 or 1")),
            },
            location: self.location,
        })
    }
}

fn address(field: &'static str, text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| Error::invalid(field, "must be an IPv4 or IPv6 address"))
}

/// Adds a machine, or replaces what is known of one.
#[utoipa::path(
    post,
    path = "/api/machine_info",
    tag = "ops",
    request_body = PostMachineInfo,
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 5"))),
    responses((status = 200, description = "`add machine info ok` or `update machine info ok`.", body = Info<String>)),
)]
pub(super) async fn post_machine_info(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(action): Args<Action>,
) -> Reply<Info<&'static str>> {
    let verb = action.verb(&["add", "update"])?;
    let machine = action.data::<MachineData>()?.machine()?;
    if verb == "add" {
        api.pilothouse.machines().add(&caller, machine).await?;
        info("add machine info ok")
    } else {
        api.pilothouse.machines().update(&caller, machine).await?;
        info("update machine info ok")
    }
}

/// Which machine to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteMachine {
    /// Its name.
    #[param(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
}

/// Deletes a machine.
#[utoipa::path(
    delete,
    path = "/api/machine_info",
    tag = "ops",
    params(DeleteMachine),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 5"))),
    responses((status = 200, description = "`delete machin info ok`, spelled as documented.", body = Info<String>)),
)]
pub(super) async fn delete_machine_info(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<DeleteMachine>,
) -> Reply<Info<&'static str>> {
    api.pilothouse.machines().delete(&caller, &query.machine_name).await?;
    info("delete machin info ok")
}
