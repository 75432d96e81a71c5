//! What every store must do, as a suite that stores here and elsewhere run.
//!
//! A store's test calls the macro with a path to a function that makes a fresh, empty store:
//!
//! ```text
//! async fn fresh(case: &'static str) -> Option<(Arc<dyn Storage>, impl Send)> { … }
//! pilothouse_core::conformance_tests!(crate::fresh);
//! ```
//!
//! `None` leaves the case out, which the function says for itself. The second value is kept until the case has ended.

pub mod account;
pub mod cdn;
pub mod config;
pub mod config_races;
pub mod delivery;
pub mod delivery_model;
pub mod edge;
pub mod job;
pub mod ops;
pub mod traffic;
pub mod transaction;

/// Declares one `#[tokio::test]` per case. This list is the only one: add a case to its module and to it.
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:path) => {
        $crate::conformance_tests!(@family $fresh, transaction, [
            dropped_is_rolled_back,
            rolled_back_is_gone,
            unflushed_is_visible,
            snapshot_does_not_move,
            snapshot_refuses_writes,
            peek_reads_and_refuses_writes,
            announced_reaches_waiters,
            clock_moves_forward,
            lock_serialises,
        ]);
        $crate::conformance_tests!(@family $fresh, account, [
            account_round_trip,
            account_names_and_mails_are_unique,
            account_pages,
            account_update_needs_the_version,
            account_delete_takes_its_tokens,
            account_race_for_one_name,
            token_round_trip,
            token_ends,
            login_failures_count,
            audit_filters,
        ]);
        $crate::conformance_tests!(@family $fresh, ops, [
            task_round_trip,
            task_pages,
            task_status_follows_its_task,
            task_status_needs_the_version,
            task_race_for_one_status,
            machine_round_trip,
            machine_race_for_one_name,
        ]);
        $crate::conformance_tests!(@family $fresh, cdn, [
            cdn_round_trip,
            cdn_race_for_one_name,
            customer_round_trip,
            customer_race_for_one_account,
            customer_mappings,
            domain_round_trip,
            domain_released_and_claimed_again,
            domain_race_of_customers,
            domain_released_with_its_customer,
            company_round_trip,
            company_race_for_one_name,
        ]);
        $crate::conformance_tests!(@family $fresh, traffic, [
            open_buckets_add_up,
            open_buckets_never_overflow,
            open_buckets_are_taken_once,
            blocks_round_trip,
            cities_are_interned,
            city_buckets_add_up,
            city_race_for_one_id,
            log_source_round_trip,
            log_source_race_for_one_length,
            log_chunk_round_trip,
            log_chunk_places,
            log_chunk_days,
            record_is_all_or_nothing,
            record_race_for_a_new_log,
            record_race_for_a_grown_log,
            sealing_loses_nothing,
        ]);
        $crate::conformance_tests!(@family $fresh, job, [
            job_round_trip,
            job_list_is_newest_first,
            job_claim_takes_what_is_due,
            job_lease_ends,
            job_prune,
            job_stale_report_is_refused,
            job_progress_round_trip,
            job_goes_with_its_account,
            job_race_for_one_claim,
            job_race_shares_out,
        ]);
        $crate::conformance_tests!(@family $fresh, edge, [
            edge_round_trip,
            edge_keeper_is_one,
            edge_race_of_keepers,
            edge_race_of_news_and_removal,
            edge_race_to_take_over,
            edge_stamps_grow,
            edge_race_for_stamps,
            edge_debts,
        ]);
        $crate::conformance_tests!(@family $fresh, config, [
            app_round_trip,
            app_race_for_one_name,
            app_revision_grows,
            app_race_for_revisions,
            app_lock_serialises,
            app_delete_takes_everything,
            grant_round_trip,
            grant_reaches,
            grant_ends_with_its_account,
            grant_race_for_one_account,
            item_round_trip,
            item_profiles,
            item_versions,
            item_published,
            item_delete_and_again,
            item_races,
        ]);
        $crate::conformance_tests!(@family $fresh, delivery, [
            release_round_trip,
            release_since,
            app_key_round_trip,
            node_round_trip,
            node_drift,
            node_race_for_one_id,
            node_race_with_its_app,
            delivery_round_trip,
            delivery_prune,
            delivery_race,
        ]);
        $crate::conformance_tests!(@family $fresh, delivery_model, [model]);
        $crate::conformance_tests!(@family $fresh, config_races, [
            last_admin_stays,
            deleted_app_gets_no_item,
            deleted_app_gets_no_grant,
            deleted_account_creates_no_app,
            published_item_is_not_deleted_by_a_developer,
            publishes_have_revisions_without_gaps,
            grey_release_ends_once,
        ]);
    };
    (@family $fresh:path, $family:ident, [$($case:ident),* $(,)?]) => {
        mod $family {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    if let Some((storage, _kept)) = $fresh(concat!(stringify!($family), "::", stringify!($case))).await {
                        $crate::conformance::$family::$case(storage).await;
                    }
                }
            )*
        }
    };
}

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::ports::Storage;

/// Text that a careless store breaks: quotes, an emoji, a combining mark, what SQL or LIKE would take for its own.
pub const AWKWARD: &str = "it's \"quoted\" \\ %_ $1 ?1 :x 🚀 e\u{301} 更新";

/// The moment `micros` microseconds after a fixed one.
pub fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_480_471_675_123_456 + micros).unwrap_or_default()
}

/// Runs `attempt` in 16 tasks at once and returns what each answered.
pub async fn race<T, F>(storage: &Arc<dyn Storage>, attempt: impl Fn(Arc<dyn Storage>, i64) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let racers: Vec<_> = (0..16).map(|n| tokio::spawn(attempt(storage.clone(), n))).collect();
    let mut answers = Vec::new();
    for racer in racers {
        answers.push(racer.await.unwrap());
    }
    answers
}
