//! The document of an import: one list per kind of object, by the names of the HTTP API.

use serde::Deserialize;

use super::json::{flag, or_default};
use super::report::ImportKind;

/// Everything to import. `docs/moving.md` describes its JSON form.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportDocument {
    /// Machines of the inventory.
    pub machines: Vec<MachineRecord>,
    /// Accounts with their groups and password hashes.
    pub accounts: Vec<AccountRecord>,
    /// Companies with their owners.
    pub companies: Vec<CompanyRecord>,
    /// Cdns that customers are mapped to.
    pub cdns: Vec<CdnRecord>,
    /// Customers with their domains.
    pub customers: Vec<CustomerRecord>,
    /// Traffic of domains.
    pub figures: Vec<FiguresRecord>,
    /// Apps of the configuration centre.
    pub apps: Vec<AppRecord>,
    /// Grants of accounts on apps.
    pub grants: Vec<GrantRecord>,
    /// Configuration items with their versions.
    pub items: Vec<ItemRecord>,
}

impl ImportDocument {
    /// Adds the records of another document behind those of this one.
    pub fn append(&mut self, other: Self) {
        self.machines.extend(other.machines);
        self.accounts.extend(other.accounts);
        self.companies.extend(other.companies);
        self.cdns.extend(other.cdns);
        self.customers.extend(other.customers);
        self.figures.extend(other.figures);
        self.apps.extend(other.apps);
        self.grants.extend(other.grants);
        self.items.extend(other.items);
    }

    /// The number of records of each kind.
    pub(super) fn counts(&self) -> [usize; ImportKind::ALL.len()] {
        ImportKind::ALL.map(|kind| match kind {
            ImportKind::Machines => self.machines.len(),
            ImportKind::Accounts => self.accounts.len(),
            ImportKind::Companies => self.companies.len(),
            ImportKind::Cdns => self.cdns.len(),
            ImportKind::Customers => self.customers.len(),
            ImportKind::Domains => self.customers.iter().map(|customer| customer.domains.len()).sum(),
            ImportKind::Figures => {
                self.figures.iter().map(|figures| figures.fluxs.len() + figures.bandwidths.len()).sum()
            }
            ImportKind::Apps => self.apps.len(),
            ImportKind::Grants => self.grants.len(),
            ImportKind::Items => self.items.len(),
        })
    }
}

/// A machine of the inventory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineRecord {
    /// Number in the list, which orders it.
    #[serde(default)]
    pub id: Option<i64>,
    /// Name: 1 to 128 bytes.
    pub machine_name: String,
    /// Address in the internal network.
    pub inside_ip: String,
    /// Address that the internet reaches it by; empty where there is none.
    pub outside_ip: String,
    /// Purpose: 1 to 1024 bytes.
    #[serde(alias = "userage")]
    pub usage: String,
    /// Whether it was set up: a boolean, 0 or 1.
    #[serde(deserialize_with = "flag")]
    pub is_initialized: bool,
    /// Location: 1 to 256 bytes.
    pub location: String,
}

/// An account.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRecord {
    /// Id: the config family's uid.
    #[serde(default)]
    pub id: Option<i64>,
    /// Mail: 3 to 254 bytes with one `@`.
    pub mail: String,
    /// Log-in name: 1 to 64 bytes, without `@` and blanks.
    pub name: String,
    /// Department: at most 128 bytes.
    #[serde(default, deserialize_with = "or_default")]
    pub department: String,
    /// Permission groups: numbers 1 to 9, separated by commas.
    #[serde(default, deserialize_with = "or_default")]
    pub permissions: String,
    /// Django's hash, `pbkdf2_sha256$iterations$salt$hash`. Nobody can log in without one.
    #[serde(default)]
    pub password: Option<String>,
}

/// A company.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompanyRecord {
    /// Id of the company.
    #[serde(default)]
    pub id: Option<i64>,
    /// Full name: 1 to 128 bytes.
    pub company_name: String,
    /// Short name: at most 128 bytes.
    #[serde(default, deserialize_with = "or_default")]
    pub company_alias: String,
    /// Mail of its owner's account.
    #[serde(default)]
    pub owner_email: Option<String>,
    /// Name of the person who owns it: at most 254 bytes. Where it is not given, that of the account.
    #[serde(default)]
    pub owner_name: Option<String>,
}

/// A cdn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CdnRecord {
    /// Id of the cdn.
    #[serde(default)]
    pub id: Option<i64>,
    /// Name: 1 to 64 of letters, digits, `.`, `_` and `-`.
    pub name: String,
}

/// An account's access to the cdn family.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomerRecord {
    /// Mail of the account.
    pub login_email: String,
    /// Django's hash of the password for `/level3/login`. Nobody can log in there without one.
    #[serde(default)]
    pub password: Option<String>,
    /// Whether it may refresh and preload: a boolean, 0 or 1.
    #[serde(default = "yes", deserialize_with = "flag")]
    pub operations: bool,
    /// Names of the cdns it is mapped to, besides those of its domains.
    #[serde(default, deserialize_with = "or_default")]
    pub cdns: Vec<String>,
    /// Domains that it holds.
    #[serde(default, deserialize_with = "or_default")]
    pub domains: Vec<DomainRecord>,
}

/// A domain of a customer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainRecord {
    /// Name of the cdn that serves it.
    pub cdn: String,
    /// Host name.
    pub domain: String,
}

/// Traffic of a domain in buckets of five minutes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiguresRecord {
    /// Name of the cdn that served it.
    pub cdn: String,
    /// Host name; a customer holds it.
    pub domain: String,
    /// Bytes by bucket of five minutes.
    #[serde(default, deserialize_with = "or_default")]
    pub fluxs: Vec<PointRecord>,
    /// Bits per second by bucket, where the bytes are not known.
    #[serde(default, deserialize_with = "or_default")]
    pub bandwidths: Vec<PointRecord>,
}

/// A value of a series; in JSON an object as the API answers it, or a list of both numbers.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointRecord {
    /// Beginning of the bucket in unix seconds: a multiple of 300.
    #[serde(rename = "timeStamp")]
    pub time_stamp: i64,
    /// Bytes, or bits per second.
    pub value: i64,
}

/// An app of the configuration centre.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRecord {
    /// Id of the app.
    #[serde(default)]
    pub id: Option<i64>,
    /// Name on the wire: 1 to 64 of `[A-Za-z0-9._-]`.
    pub app: String,
    /// 0 a server, 9 a client app.
    pub app_type: u8,
    /// Name for people: 1 to 128 bytes.
    pub name: String,
    /// Person in charge: 1 to 128 bytes.
    pub charger: String,
    /// Time of its creation in unix seconds; now, where it is not given.
    #[serde(default)]
    pub create_time: Option<i64>,
}

/// A grant of an account on an app.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantRecord {
    /// Id of the grant.
    #[serde(default)]
    pub id: Option<i64>,
    /// Name of the app, or `all`.
    pub app: String,
    /// Profile of the app; all of it where it is not given.
    #[serde(default)]
    pub profile: Option<String>,
    /// Name or mail of the account, or its id in the document.
    pub account: String,
    /// Name to show: at most 128 bytes; the account's where it is not given.
    #[serde(default)]
    pub username: Option<String>,
    /// 0 read, 1 develop, 9 manage; on `all` only 9.
    pub permission: i64,
}

/// A configuration item.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// Id of the item, which `/publish` is called with.
    #[serde(default)]
    pub id: Option<i64>,
    /// Name of the app.
    pub app: String,
    /// Profile: 1 to 64 of `[A-Za-z0-9._-]`.
    pub profile: String,
    /// Key: 1 to 256 bytes.
    pub key: String,
    /// Its versions, in any order: at least one. The one with the greatest number is the current one.
    pub versions: Vec<VersionRecord>,
    /// The version that is released to all nodes.
    #[serde(default)]
    pub released: Option<ReleaseRecord>,
}

/// A version of an item.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionRecord {
    /// Number: from 1 to 1,000,000,000. Numbers may be missing.
    pub version: i64,
    /// Value: at most 1 MiB.
    #[serde(deserialize_with = "or_default")]
    pub value: String,
    /// Validator: at most 65,536 bytes. It is not applied to what is imported.
    #[serde(default, deserialize_with = "or_default")]
    pub validator: String,
    /// Description of the change: at most 4096 bytes.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// Account that made it, by name, mail or its id in the document; account 0 where it is not given.
    #[serde(default)]
    pub modifier: Option<String>,
    /// Time it was made in unix seconds; now, where it is not given.
    #[serde(default)]
    pub modify_time: Option<i64>,
    /// Whether it was approved: a boolean, 0 or 1.
    #[serde(default, deserialize_with = "flag")]
    pub approved: bool,
    /// Account that approved it, by name, mail or its id in the document; account 0 where it is not given.
    #[serde(default)]
    pub approver: Option<String>,
}

/// The release of an item to all nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRecord {
    /// Number of the version, as the versions are numbered.
    pub version: i64,
    /// Account that published it, by name, mail or its id in the document; account 0 where it is not given.
    #[serde(default)]
    pub publisher: Option<String>,
    /// Time of its publication in unix seconds; now, where it is not given.
    #[serde(default)]
    pub publish_time: Option<i64>,
}

impl std::fmt::Debug for AccountRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountRecord")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CustomerRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomerRecord").field("login_email", &self.login_email).finish_non_exhaustive()
    }
}

fn yes() -> bool {
    true
}
