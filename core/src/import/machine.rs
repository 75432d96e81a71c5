//! Import of machines.

use std::collections::HashMap;
use std::net::IpAddr;

use super::document::MachineRecord;
use super::row_id::RowKind;
use super::transaction::ImportTransaction;
use crate::account::Entry;
use crate::ops::{Machine, MachineNumber};
use crate::text::{check_visible, fold_name};
use crate::{Error, Result};

impl ImportTransaction<'_> {
    pub(super) async fn import_machines(&mut self, records: &[MachineRecord]) -> Result<()> {
        let mut ids = self.row_ids(RowKind::Machines, records.iter().map(|record| record.id)).await?;
        let names = self.work.machines().names().await?;
        let mut names: HashMap<_, _> = names.into_iter().map(|name| (fold_name(&name), name)).collect();
        for place in ids.order() {
            let machine = machine(&records[place.index]).map_err(|error| place.refused(error))?;
            let name = &machine.machine_name;
            if let Some(known) = names.get(&fold_name(name)) {
                let known = self.work.machines().find(known).await?;
                let known = known.ok_or_else(|| place.conflict("the machine is gone"))?;
                let members = [
                    ("machine_name", known.machine_name == machine.machine_name),
                    ("inside_ip", known.inside_ip == machine.inside_ip),
                    ("outside_ip", known.outside_ip == machine.outside_ip),
                    ("usage", known.usage == machine.usage),
                    ("is_initialized", known.is_initialized == machine.is_initialized),
                    ("location", known.location == machine.location),
                ];
                self.skip_equal(place, format_args!("the machine {name}"), &members)?;
                continue;
            }
            self.reserve(&mut ids, place).await?;
            let is_new = self.work.machines().insert(&machine).await?;
            let inserted = self.work.machines().find(name).await?.filter(|_| is_new);
            let MachineNumber(id) = inserted.ok_or_else(|| place.conflict("the name is taken"))?.id;
            names.insert(fold_name(name), name.clone());
            let entry = Entry::new("machine.import", &**name).new_digest(machine.digest());
            self.record(entry).await?;
            self.imported(&mut ids, place, id);
        }
        Ok(())
    }
}

fn machine(record: &MachineRecord) -> Result<Machine> {
    let MachineRecord { machine_name, usage, is_initialized, location, .. } = record.clone();
    let machine = Machine {
        id: MachineNumber::UNSAVED,
        machine_name,
        inside_ip: address("inside_ip", &record.inside_ip)?,
        outside_ip: match &*record.outside_ip {
            "" => None,
            text => Some(address("outside_ip", text)?),
        },
        usage,
        is_initialized,
        location,
    };
    machine.check()?;
    check_visible("machine_name", &machine.machine_name)?;
    Ok(machine)
}

fn address(field: &'static str, text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Error::invalid(field, "must be an IPv4 or IPv6 address"))
}
