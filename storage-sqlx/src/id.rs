//! Row ids, and days of traffic, as columns and parameters: numbers in both databases.

use pilothouse_core::account::{AccountId, AuditId, TokenId};
use pilothouse_core::cdn::{
    AlarmId, CdnId, CityId, CompanyId, Day, DomainId, JobId, LogChunkId, LogSourceId, UnregisteredLinesId,
};
use pilothouse_core::config::{AppId, AppKeyId, ChangeSetId, GrantId, ItemId, NodeNumber, ReleaseId};
use pilothouse_core::ops::{BatchNumber, MachineNumber, TaskNumber};
use pilothouse_core::ports::StorageResult;
use pilothouse_core::webhook::WebhookDeliveryId;

use crate::row::{Cell, Column};
use crate::value::Value;

macro_rules! ids {
    ($($id:ident),* $(,)?) => {$(
        impl Column for $id {
            fn decode(cell: &Cell<'_>) -> StorageResult<Option<Self>> {
                Ok(i64::decode(cell)?.map($id))
            }
        }

        impl From<$id> for Value<'_> {
            fn from(id: $id) -> Self {
                id.0.into()
            }
        }

        impl From<Option<$id>> for Value<'_> {
            fn from(id: Option<$id>) -> Self {
                id.map(i64::from).into()
            }
        }
    )*};
}

ids! {
    AccountId, AlarmId, AppId, AppKeyId, AuditId, BatchNumber, CdnId, ChangeSetId, CityId, CompanyId, Day, DomainId, GrantId, ItemId, JobId, LogChunkId, LogSourceId, MachineNumber, NodeNumber, ReleaseId, TaskNumber, TokenId, UnregisteredLinesId,
    WebhookDeliveryId,
}
