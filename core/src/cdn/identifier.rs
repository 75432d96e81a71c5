//! Row ids that the rooms share: of cdns and of domains.

use crate::id::id;

id! {
    /// The id of a cdn.
    CdnId
}

id! {
    /// The id of a domain: of one name, on one cdn, held by one account.
    DomainId
}
