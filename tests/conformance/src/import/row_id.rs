//! Numbering of tables: it goes on behind an id, and a rollback undoes that.

use std::sync::Arc;

use pilothouse_core::account::AccountId;
use pilothouse_core::import::RowKind;
use pilothouse_core::ports::Storage;

use crate::account::account::add_account;

/// The greatest id given, or raised to, counts also when its row is gone; raised, the next row follows it, unless it is rolled back.
pub(crate) async fn goes_on_behind_an_id(storage: Arc<dyn Storage>) {
    let last = async || storage.read().await.unwrap().row_ids().last_id(RowKind::Accounts).await.unwrap();
    assert_eq!(last().await, 0);
    let AccountId(first) = add_account(&storage, 1).await;
    assert_eq!(last().await, first);

    let mut work = storage.begin().await.unwrap();
    work.row_ids().raise_last_id(RowKind::Accounts, 5000).await.unwrap();
    work.rollback().await.unwrap();
    assert_eq!(last().await, first);

    // Also where the ids follow without a gap.
    let mut work = storage.begin().await.unwrap();
    work.row_ids().raise_last_id(RowKind::Accounts, first).await.unwrap();
    let id = work.accounts().insert(&crate::account::account::account(2)).await.unwrap();
    assert_eq!(id, Some(AccountId(first + 1)));
    work.rollback().await.unwrap();
    assert_eq!(last().await, first);

    // Also where no row followed yet.
    let mut work = storage.begin().await.unwrap();
    work.row_ids().raise_last_id(RowKind::Accounts, 300).await.unwrap();
    work.commit().await.unwrap();
    assert_eq!(last().await, 300);

    let mut work = storage.begin().await.unwrap();
    work.row_ids().raise_last_id(RowKind::Accounts, 500).await.unwrap();
    let id = work.accounts().insert(&crate::account::account::account(2)).await.unwrap();
    assert_eq!(id, Some(AccountId(501)));
    work.commit().await.unwrap();
    assert_eq!(add_account(&storage, 3).await, AccountId(502));

    let mut work = storage.begin().await.unwrap();
    assert!(work.accounts().delete(AccountId(502)).await.unwrap());
    work.commit().await.unwrap();
    assert_eq!(last().await, 502);
}
