//! Change set repository: the tables `change_set` and `change_set_item`.

use std::sync::LazyLock;

use async_trait::async_trait;
use pilothouse_core::Page;
use pilothouse_core::account::AccountId;
use pilothouse_core::config::{
    ChangeAction, ChangeSet, ChangeSetFilter, ChangeSetId, ChangeSetRepository, ChangeSetState, ChangedItem,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{ListStatements, statements};
use crate::transaction::Transaction;
use crate::value::{Value, values};

statements! {
    INSERT = "INSERT INTO change_set (app_id, profile, title, state, author, create_time, approver, size) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    INSERT_ITEMS = "INSERT INTO change_set_item (change_set_id, item_id, action, from_version, version)";
    FIND = "SELECT * FROM change_set WHERE id = $1";
    ITEMS = "SELECT item_id, key, action, from_version, change_set_item.version FROM change_set_item \
         JOIN config_item ON config_item.id = item_id WHERE change_set_id = $1 ORDER BY item_id";
    ADVANCE = "UPDATE change_set SET state = $3, approver = COALESCE($4, approver) WHERE id = $1 AND state = $2";
}

static LIST: LazyLock<ListStatements> = LazyLock::new(|| {
    let condition = "app_id = $3 AND profile = $4 AND ($5 IS NULL OR state = $5)";
    ListStatements::new(concat!(module_path!(), "::LIST"), ("*", "change_set", "id"), condition, 3)
});

impl FromRow for ChangeSet {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let state = ChangeSetState::from_id(row.get("state")?);
        Ok(Self {
            id: row.get("id")?,
            app: row.get("app_id")?,
            profile: row.get("profile")?,
            title: row.get("title")?,
            state: state.ok_or(StorageError::Corrupt { what: "change set state" })?,
            author: row.get("author")?,
            time: row.get("create_time")?,
            approver: row.optional("approver")?,
            size: row.get("size")?,
        })
    }
}

impl FromRow for ChangedItem {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let action = ChangeAction::from_id(row.get("action")?);
        Ok(Self {
            item: row.get("item_id")?,
            key: row.get("key")?,
            action: action.ok_or(StorageError::Corrupt { what: "change action" })?,
            from: row.get("from_version")?,
            version: row.get("version")?,
        })
    }
}

#[async_trait]
impl ChangeSetRepository for Transaction {
    async fn insert(&mut self, set: &ChangeSet, items: &[ChangedItem]) -> StorageResult<ChangeSetId> {
        let ChangeSet { app, profile, title, state, author, time, approver, size, .. } = set;
        let values = values![*app, profile, title, state.id(), *author, *time, *approver, *size];
        let id: ChangeSetId = self.connection.one(INSERT, values).await?;
        let mut values: Vec<Value<'_>> = Vec::with_capacity(items.len() * 5);
        for ChangedItem { item, action, from, version, .. } in items {
            values.extend([Value::from(id), Value::from(*item), Value::from(action.id())]);
            values.extend([Value::from(*from), Value::from(*version)]);
        }
        self.connection.execute_rows(INSERT_ITEMS, "", 5, &values).await?;
        Ok(id)
    }

    async fn find(&mut self, id: ChangeSetId) -> StorageResult<Option<ChangeSet>> {
        self.connection.optional(FIND, values![id]).await
    }

    async fn items(&mut self, id: ChangeSetId) -> StorageResult<Vec<ChangedItem>> {
        self.connection.all(ITEMS, values![id]).await
    }

    async fn list(&mut self, filter: &ChangeSetFilter, page: Page) -> StorageResult<Vec<ChangeSet>> {
        let state = filter.state.map(ChangeSetState::id);
        let values = values![page.start, page.before, filter.app, &filter.profile, state, page.count];
        self.connection.all(LIST.page(page.order), values).await
    }

    async fn count(&mut self, filter: &ChangeSetFilter) -> StorageResult<u64> {
        let state = filter.state.map(ChangeSetState::id);
        let values = values![0, i64::MAX, filter.app, &filter.profile, state];
        self.connection.count(LIST.count(), values).await
    }

    async fn advance(
        &mut self,
        id: ChangeSetId,
        from: ChangeSetState,
        to: ChangeSetState,
        approver: Option<AccountId>,
    ) -> StorageResult<bool> {
        Ok(self.connection.execute(ADVANCE, values![id, from.id(), to.id(), approver]).await? > 0)
    }
}
