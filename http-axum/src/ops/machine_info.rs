//! `/api/machine_info`: lists, adds, changes and deletes machines.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponseParts, ResponseParts};
use pilothouse_core::ops::{Machine, MachineFilter, MachineNumber, SharedAddress, TaskId, UpdateMachine};
use pilothouse_core::{Error, Listing};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::args::{Action, Args, OneOrMany, ip_address};
use crate::caller::Auth;
use crate::envelope::{Failure, Info, Reply, info};
use crate::idempotency::{Idempotency, IdempotencyHeader};
use crate::list::List;
use crate::optional_member::{selector, text_or_empty};
use crate::page::{ListReply, list_query, listed};
use crate::state::ApiState;

/// A machine of the inventory.
#[derive(Serialize, ToSchema)]
pub(super) struct MachineInfo {
    /// Row number given by the store; lists are ordered by it.
    #[schema(example = 1)]
    id: i64,
    /// Name, which identifies it.
    #[schema(example = "web01")]
    machine_name: String,
    /// Address in the internal network.
    #[schema(example = "10.2.2.2")]
    inside_ip: String,
    /// Address that the internet reaches the machine by; empty where there is none.
    #[schema(example = "111.111.11.1")]
    outside_ip: String,
    /// Purpose of the machine.
    #[schema(example = "web 服务器1")]
    usage: String,
    /// 1 once it was set up, else 0.
    #[schema(minimum = 0, maximum = 1, example = 0)]
    is_initialized: i64,
    /// Location, such as a data centre.
    #[schema(example = "阿里云")]
    location: String,
}

impl From<Machine> for MachineInfo {
    fn from(machine: Machine) -> Self {
        let Machine { id, machine_name, inside_ip, outside_ip, usage, is_initialized, location } = machine;
        Self {
            id: id.0,
            machine_name,
            inside_ip: inside_ip.to_string(),
            outside_ip: outside_ip.map(|ip| ip.to_string()).unwrap_or_default(),
            usage,
            is_initialized: is_initialized.into(),
            location,
        }
    }
}

list_query! {
    /// Machines to list: a page of those that pass the filters, or the one of that name.
    pub(super) struct MachineQuery {
        /// Only the machine of this name.
        #[serde(default, deserialize_with = "selector")]
        #[param(min_length = 1, max_length = 128, example = "web01")]
        machine_name: Option<String>,
        /// Only machines of this purpose.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 1024, example = "web 服务器1")]
        usage: Option<String>,
        /// Only machines at this location.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 256, example = "阿里云")]
        location: Option<String>,
        /// Only machines with this text in their name, purpose, location or an address.
        #[serde(default, deserialize_with = "selector")]
        #[param(max_length = 1024, example = "web")]
        text: Option<String>,
    }
}

/// Lists machines by id.
#[utoipa::path(
    get,
    path = "/api/machine_info",
    tag = "ops",
    params(MachineQuery),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 4"))),
    responses((
        status = 200,
        description = "The machines.",
        body = Info<Vec<MachineInfo>>,
        headers(
            ("X-Total-Count" = i64, description = "Number of rows of the whole list, where `total` asks for it."),
        ),
    )),
)]
pub(super) async fn get_machine_info(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Args(query): Args<MachineQuery>,
) -> ListReply<Info<Vec<MachineInfo>>> {
    let page = query.page()?;
    let machines = api.pilothouse.machines();
    let MachineQuery { machine_name, usage, location, text, .. } = query;
    let filter = MachineFilter { usage, location, text };
    let found = match machine_name {
        Some(name) => {
            let found = machines.find(&caller, &name).await?.filter(|machine| filter.accepts(machine));
            Listing::whole(found.into_iter().collect())
        }
        None => machines.list(&caller, &filter, page).await?,
    };
    listed(found, page, MachineInfo::from, info)
}

/// Body of `/api/machine_info`: one action on machines.
#[derive(ToSchema)]
#[serde(tag = "action", content = "data", rename_all = "lowercase")]
#[expect(dead_code, reason = "the shape of an Action, for the document")]
pub(super) enum PostMachineInfo {
    /// Adds a machine, or all of a list of up to 1,000 or none.
    Add(OneOrMany<MachineData>),
    /// Adds what is not there, and replaces the machines that are: all of a list or none.
    Upsert(OneOrMany<MachineData>),
    /// Changes what is given of the machine of that name.
    Update(MachineChange),
    /// Gives a machine another name.
    Rename(MachineName),
    /// Makes a one-time code for the agent of a machine.
    Enroll(AgentOf),
    /// Ends the agent of a machine, with its token and its code.
    Revoke(AgentOf),
}

/// Machine whose agent is meant.
#[derive(Deserialize, ToSchema)]
pub(super) struct AgentOf {
    /// Name of the machine.
    #[schema(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
}

/// What was done, or the code that was made.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum MachineDone {
    /// What was done, in words.
    Done(&'static str),
    /// The code for an agent.
    Code(AgentCode),
}

/// One-time code with which the agent of a machine enrols.
#[derive(Serialize, ToSchema)]
pub(super) struct AgentCode {
    /// The code: 64 hexadecimal digits.
    #[schema(example = "f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09f7d2a0a0c5b64a4a9b1c8e6f3d2b1a09")]
    code: String,
    /// Its end in unix seconds, after 15 minutes.
    #[schema(example = 1_480_472_575)]
    expires: i64,
}

/// A machine to add.
#[derive(Deserialize, ToSchema)]
pub(super) struct MachineData {
    /// Name, which identifies it.
    #[schema(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
    /// IPv4 or IPv6 address inside.
    #[schema(min_length = 2, max_length = 45, example = "10.2.2.2")]
    inside_ip: String,
    /// IPv4 or IPv6 address outside; empty where there is none.
    #[schema(max_length = 45, example = "111.111.11.1")]
    outside_ip: String,
    /// Purpose of the machine; required, unless `userage` is given.
    #[schema(min_length = 1, max_length = 1024, example = "web 服务器1")]
    usage: Option<String>,
    /// The same, as the document's sample spells it.
    #[schema(min_length = 1, max_length = 1024, example = "web 服务器1")]
    userage: Option<String>,
    /// 1 once it was set up, else 0.
    #[schema(value_type = i64, minimum = 0, maximum = 1, example = 0)]
    is_initialized: bool,
    /// Location, such as a data centre.
    #[schema(min_length = 1, max_length = 256, example = "阿里云")]
    location: String,
}

/// Changes to the machine of that name; what is not given stays.
#[derive(Deserialize, ToSchema)]
pub(super) struct MachineChange {
    /// Row number, where it is sent back: that of this machine.
    #[schema(example = 1)]
    id: Option<i64>,
    /// Name, which identifies it.
    #[schema(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
    /// IPv4 or IPv6 address inside.
    #[schema(min_length = 2, max_length = 45, example = "10.2.2.2")]
    inside_ip: Option<String>,
    /// IPv4 or IPv6 address outside; empty for none.
    #[serde(default, deserialize_with = "text_or_empty")]
    #[schema(max_length = 45, example = "111.111.11.1")]
    outside_ip: Option<String>,
    /// Purpose of the machine.
    #[schema(min_length = 1, max_length = 1024, example = "web 服务器1")]
    usage: Option<String>,
    /// The same, as the document's sample spells it.
    #[schema(min_length = 1, max_length = 1024, example = "web 服务器1")]
    userage: Option<String>,
    /// 1 once it was set up, else 0.
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1, example = 0)]
    is_initialized: Option<bool>,
    /// Location, such as a data centre.
    #[schema(min_length = 1, max_length = 256, example = "阿里云")]
    location: Option<String>,
}

/// Another name for a machine.
#[derive(Deserialize, ToSchema)]
pub(super) struct MachineName {
    /// Its name until now.
    #[schema(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
    /// Its name from now on.
    #[schema(min_length = 1, max_length = 128, example = "web02")]
    new_name: String,
}

/// The purpose of a machine under either of its names.
fn purpose(usage: Option<String>, userage: Option<String>) -> Result<Option<String>, Error> {
    match (usage, userage) {
        (Some(usage), Some(userage)) if usage != userage => {
            Err(Error::invalid("userage", "is not the same as usage"))
        }
        (usage, userage) => Ok(usage.or(userage)),
    }
}

/// The outside address; `None` where the text is empty.
fn outside(text: &str) -> Result<Option<std::net::IpAddr>, Error> {
    if text.is_empty() { Ok(None) } else { ip_address("outside_ip", text).map(Some) }
}

impl MachineData {
    fn machine(self) -> Result<Machine, Error> {
        let usage = purpose(self.usage, self.userage)?;
        Ok(Machine {
            id: MachineNumber::UNSAVED,
            machine_name: self.machine_name,
            inside_ip: ip_address("inside_ip", &self.inside_ip)?,
            outside_ip: outside(&self.outside_ip)?,
            usage: usage.ok_or_else(|| Error::invalid("data.usage", "is required"))?,
            is_initialized: self.is_initialized,
            location: self.location,
        })
    }
}

impl MachineChange {
    fn change(self) -> Result<UpdateMachine, Error> {
        Ok(UpdateMachine {
            id: self.id.map(MachineNumber),
            machine_name: self.machine_name,
            inside_ip: self.inside_ip.map(|ip| ip_address("inside_ip", &ip)).transpose()?,
            outside_ip: self.outside_ip.map(|ip| outside(&ip)).transpose()?,
            usage: purpose(self.usage, self.userage)?,
            is_initialized: self.is_initialized,
            location: self.location,
        })
    }
}

/// Warnings of what was done all the same.
pub(super) struct Warnings(Vec<SharedAddress>);

impl IntoResponseParts for Warnings {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        for warning in self.0.iter().take(SHOWN) {
            let warning = warning.to_string();
            let warning = percent_encoding::utf8_percent_encode(&warning, NOT_ASCII).to_string();
            if let Ok(warning) = HeaderValue::from_str(&warning) {
                parts.headers_mut().append("x-warning", warning);
            }
        }
        Ok(parts)
    }
}

/// The most warnings of one answer.
const SHOWN: usize = 10;
/// Control characters are escaped, all that is not ASCII, and the escape character itself.
const NOT_ASCII: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%');

/// Adds or saves machines, changes what is given of one, or renames one.
#[utoipa::path(
    post,
    path = "/api/machine_info",
    tag = "ops",
    request_body = PostMachineInfo,
    params(IdempotencyHeader),
    security(("bearer" = [])),
    extensions(("x-permission" = json!("group 5"))),
    responses((
        status = 200,
        description = "`add machine info ok`, `upsert machine info ok`, `update machine info ok`, `rename machine info ok`, `agent revoked`, or the code of `enroll`.",
        body = Info<MachineDone>,
        headers(("X-Warning" = String, description = "Two machines of one location that share an inside address now, percent-encoded.")),
    )),
)]
pub(super) async fn post_machine_info(
    State(api): State<ApiState>,
    Auth(caller): Auth,
    Idempotency(key): Idempotency,
    Args(action): Args<Action>,
) -> Result<(Warnings, Json<Info<MachineDone>>), Failure> {
    let machines = api.pilothouse.machines();
    let (shared, done) = match action.verb(&["add", "upsert", "update", "rename", "enroll", "revoke"])? {
        "add" => {
            let key = key.map(|key| action.idempotency_key("/api/machine_info", &key)).transpose()?;
            let shared = machines.add_all(&caller, machine_list(action)?, key.as_ref()).await?;
            (shared, "add machine info ok")
        }
        "upsert" => (machines.upsert_all(&caller, machine_list(action)?).await?, "upsert machine info ok"),
        "update" => {
            let change = action.data::<MachineChange>()?.change()?;
            (machines.update(&caller, change).await?, "update machine info ok")
        }
        "enroll" => {
            let AgentOf { machine_name } = action.data()?;
            let made = api.pilothouse.agents().enroll(&caller, &machine_name).await?;
            let code = AgentCode { code: made.code, expires: made.expires.timestamp() };
            return Ok((Warnings(Vec::new()), info(MachineDone::Code(code))?));
        }
        "revoke" => {
            let AgentOf { machine_name } = action.data()?;
            api.pilothouse.agents().revoke(&caller, &machine_name).await?;
            (Vec::new(), "agent revoked")
        }
        _ => {
            let MachineName { machine_name, new_name } = action.data()?;
            machines.rename(&caller, &machine_name, &new_name).await?;
            (Vec::new(), "rename machine info ok")
        }
    };
    Ok((Warnings(shared), info(MachineDone::Done(done))?))
}

fn machine_list(action: Action) -> Result<Vec<Machine>, Error> {
    action.list::<MachineData>()?.1.into_iter().map(MachineData::machine).collect()
}

/// Machine to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteMachine {
    /// Name of the machine.
    #[param(min_length = 1, max_length = 128, example = "web01")]
    machine_name: String,
    /// Tasks of it that wait or run, which are cancelled: needs group 3 too. Without them a machine is deleted only when it
    /// has none.
    #[serde(default, deserialize_with = "selector")]
    #[param(value_type = Option<Vec<String>>, max_length = 100_000, example = json!(["0358c3c78f5211e685855cf9389306a2"]))]
    cancel: Option<List>,
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
    let named = query.cancel.map(|List(named)| named).unwrap_or_default();
    let cancel: Vec<TaskId> = named.iter().map(|id| id.parse()).collect::<Result<_, _>>()?;
    api.pilothouse.machines().delete(&caller, &query.machine_name, &cancel).await?;
    info("delete machin info ok")
}
