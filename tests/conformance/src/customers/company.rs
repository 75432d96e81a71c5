//! Companies: unique names, optional owners.

use pilothouse_core::cdn::CompanyId;
use std::sync::Arc;

use pilothouse_core::cdn::{Company, CompanyOverview};
use pilothouse_core::ports::Storage;
use pilothouse_core::{Order, Page};

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
    let newest = Company { name: "newest".into(), owner_id: None, ..held.clone() };
    let newest_id = work.companies().insert(&newest).await.unwrap().unwrap();
    let newest = Company { id: newest_id, ..newest };
    let account = work.accounts().by_id(owner).await.unwrap().unwrap();
    let owned =
        CompanyOverview { company: held.clone(), account: Some(account.name), mail: Some(account.mail) };
    let disowned = CompanyOverview { company: newest, account: None, mail: None };
    assert_eq!(work.companies().list(Page::at(0, 10)).await.unwrap(), [owned.clone(), disowned.clone()]);
    assert_eq!(work.companies().list(Page::at(0, 1)).await.unwrap(), std::slice::from_ref(&owned));
    assert_eq!(work.companies().list(Page::at(id.0 + 1, 10)).await.unwrap(), std::slice::from_ref(&disowned));
    let newest_first = Page { order: Order::Newest, ..Page::at(0, 1) };
    assert_eq!(work.companies().list(newest_first).await.unwrap(), [disowned]);
    let before = newest_first.before(Some(newest_id.0)).unwrap();
    assert_eq!(work.companies().list(before).await.unwrap(), [owned]);
    assert_eq!(work.companies().count().await.unwrap(), 2);
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
