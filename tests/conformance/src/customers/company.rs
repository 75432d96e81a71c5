//! Companies: unique names, optional owners.

use pilothouse_core::cdn::CompanyId;
use std::sync::Arc;

use pilothouse_core::cdn::Company;
use pilothouse_core::ports::Storage;

use crate::race::race;
use crate::rows::{AWKWARD, add_account};

/// A company's name is unique, and a company outlives its owner's account.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let owner = add_account(&storage, 1).await;
    let company = Company {
        id: CompanyId::UNSAVED,
        name: AWKWARD.into(),
        alias: "快".into(),
        owner_id: Some(owner),
        owner_name: "王 小明".into(),
    };
    let mut work = storage.begin().await.unwrap();
    let id = work.companies().insert(&company).await.unwrap().unwrap();
    assert_eq!(work.companies().insert(&company).await.unwrap(), None);
    let held = Company { id, ..company };
    assert_eq!(work.companies().by_name(AWKWARD).await.unwrap().as_ref(), Some(&held));
    assert_eq!(work.companies().by_name("another").await.unwrap(), None);
    assert!(work.accounts().delete(owner).await.unwrap());
    assert_eq!(work.companies().by_name(AWKWARD).await.unwrap(), Some(Company { owner_id: None, ..held }));
    work.commit().await.unwrap();
}

/// Of many that want one name at once, one gets it.
pub(crate) async fn race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let company = Company {
            id: CompanyId::UNSAVED,
            name: "Example".into(),
            alias: String::new(),
            owner_id: None,
            owner_name: String::new(),
        };
        let id = work.companies().insert(&company).await.unwrap();
        work.commit().await.unwrap();
        id.is_some()
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}
