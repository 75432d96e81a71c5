//! List of the cases, and the macro that makes tests of them.

use std::fmt;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use pilothouse_core::ports::Storage;
use tokio::runtime::Builder;

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// Room, file and function, such as `account::token::round_trip`.
    pub name: &'static str,
    run: fn(Arc<dyn Storage>) -> LocalBoxFuture<'static, ()>,
}

impl Case {
    /// Runs the case on a store that is empty and that nobody else uses. It needs a multi-threaded runtime.
    pub async fn run(&self, storage: Arc<dyn Storage>) {
        (self.run)(storage).await;
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Every case of the suite, for those who run them otherwise than by [`conformance_tests!`](crate::conformance_tests).
pub fn cases() -> &'static [Case] {
    crate::__list_of_cases!(table)
}

/// Runs one case, by its name, on the store that `fresh` makes; leaves it out where that is `None`.
pub fn run<G>(name: &'static str, fresh: impl AsyncFnOnce(&'static str) -> Option<(Arc<dyn Storage>, G)>) {
    let case = cases().iter().find(|case| case.name == name).expect("the name of a case");
    Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        if let Some((storage, _guard)) = fresh(name).await {
            case.run(storage).await;
        }
    });
}

/// Declares one `#[test]` per case of the suite.
///
/// `fresh` is the path of an async function from the name of a case to a store that is empty and that nobody else uses:
///
/// ```
/// # use std::sync::Arc;
/// # use pilothouse_core::ports::Storage;
/// # use pilothouse_storage_memory::MemoryStorage;
/// async fn fresh(case: &'static str) -> Option<(Arc<dyn Storage>, ())> {
///     println!("a store for {case}");
///     Some((Arc::new(MemoryStorage::new()), ()))
/// }
///
/// mod conformance {
///     pilothouse_conformance::conformance_tests!(crate::fresh);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($fresh:path) => {
        $crate::__list_of_cases!(tests $fresh);
    };
}

/// The one list of cases: a case that is not in it is dead code, which the compiler reports.
#[doc(hidden)]
#[macro_export]
macro_rules! __list_of_cases {
    ($($arguments:tt)*) => {
        $crate::__expand_cases! { [$($arguments)*]
            store {
                transaction {
                    dropped_is_rolled_back,
                    rolled_back_is_gone,
                    unflushed_is_visible,
                    snapshot_does_not_move,
                    snapshot_refuses_writes,
                    peek_reads_and_refuses_writes,
                    clock_moves_forward,
                    lock_serialises,
                }
                signal {
                    announced_reaches_waiters,
                }
                identity {
                    is_there_from_the_beginning,
                    renewal_reaches_every_app,
                    race_for_one_secret,
                    race_for_one_blob_folder,
                }
                pruning {
                    round_trip,
                    counts,
                    an_eighth_a_day,
                    nothing_after_a_jump,
                    nothing_after_a_late_start,
                }
            }
            account {
                account {
                    round_trip,
                    names_and_mails_are_unique,
                    pages,
                    update_needs_the_version,
                    delete_takes_its_tokens,
                    race_for_one_name,
                    names_that_look_the_same_are_one,
                    disabled,
                }
                token {
                    round_trip,
                    ends,
                    newest_stay,
                    limits_are_kept,
                    an_api_token_is_cut_by_its_limits,
                }
                login {
                    failures_count,
                }
                stopped {
                    nobody,
                    by_log_out,
                    by_password,
                    by_demotion,
                    by_lost_group,
                    by_deletion,
                    by_expiry,
                    by_withdrawn_grant,
                    by_deleted_key,
                    while_it_waits,
                }
                audit {
                    filters,
                }
            }
            ops {
                task {
                    round_trip,
                    pages,
                    status_follows_its_task,
                    status_needs_the_version,
                    flags_are_kept_as_given,
                    race_for_one_status,
                    filters,
                    a_repeated_request_adds_nothing,
                    kept_answers,
                }
                file_order {
                    round_trip,
                    goes_with_its_task,
                    update_needs_state_attempt_and_version,
                    due_and_held,
                    lapsed,
                    blob_removals,
                }
                update {
                    race_of_executes,
                    race_of_claims,
                    an_update_and_its_revert,
                    a_lost_lease_is_swept,
                    foreign_orders_and_blobs_are_hidden,
                    a_held_task_is_not_deleted,
                }
                batch {
                    round_trip,
                    what_belongs_to_it,
                    targets,
                    addresses_are_bound_at_execution,
                    the_way_of_a_batch,
                    failures_stop_it,
                    paused_planned_and_cancelled,
                    race_of_steps,
                }
                agent {
                    round_trip,
                    tokens_are_renewed,
                    a_code_is_used_once,
                    revoked,
                    a_second_instance_is_refused,
                }
                machine {
                    round_trip,
                    change_keeps_the_rest,
                    race_for_one_name,
                    names_that_look_the_same_are_one,
                    filters,
                    lists_are_saved_whole,
                    renamed,
                    open_tasks_are_cancelled_by_name,
                }
            }
            customers {
                cdn {
                    round_trip,
                    race_for_one_name,
                }
                customer {
                    round_trip,
                    race_for_one_account,
                    mappings,
                    cdns_are_answered_as_given,
                    pages,
                }
                domain {
                    round_trip,
                    released_and_claimed_again,
                    race_of_customers,
                    released_with_its_customer,
                    known_domains_are_active_at_once,
                }
                tenure {
                    round_trip,
                    hand_over_in_a_month,
                }
                company {
                    round_trip,
                    race_for_one_name,
                }
                service {
                    replace,
                    race_leaves_one_list,
                }
            }
            traffic {
                series {
                    open_buckets_add_up,
                    open_buckets_never_overflow,
                    open_buckets_are_taken_once,
                    blocks_round_trip,
                }
                city {
                    are_interned,
                    buckets_add_up,
                    race_for_one_id,
                }
                log_source {
                    round_trip,
                    race_for_one_length,
                }
                edge_log {
                    put_replaces,
                    race_loses_nothing,
                }
                log_chunk {
                    round_trip,
                    places,
                    days,
                }
                log_undo {
                    round_trip,
                }
                top_urls {
                    round_trip,
                    crowded_are_taken,
                    pieces_of_a_log,
                    prune,
                    race_to_take,
                }
                unregistered {
                    round_trip,
                    dropped,
                    crowds_are_replaced,
                    listed_hosts_stay,
                }
                vendor_figures {
                    put_replaces,
                    race_leaves_one,
                }
                vendor_logs {
                    put_replaces,
                    files_are_remembered,
                    race_inserts_once,
                }
                log_intake {
                    record_is_all_or_nothing,
                    record_race_for_a_new_log,
                    record_race_for_a_grown_log,
                    sealing_loses_nothing,
                    unregistered_hosts_race_with_their_registration,
                }
            }
            purge {
                vendor_batch {
                    round_trip,
                    an_id_is_used_once,
                    list_is_of_one_cdn_in_order,
                    race_inserts_once,
                }
                vendor_spending {
                    sums_are_apart,
                    forget_takes_days_that_ended,
                    race_loses_nothing,
                }
                job {
                    round_trip,
                    list_is_newest_first,
                    retry_begins_again,
                    claim_takes_what_is_due,
                    lease_ends,
                    wait_of_a_clock_ahead_is_void,
                    prune,
                    prune_keeps_requests_whole,
                    stale_report_is_refused,
                    progress_round_trip,
                    goes_with_its_account,
                    race_for_one_claim,
                    race_shares_out,
                }
                job_list {
                    requests_pass_a_filter,
                    requests_have_parts,
                }
                edge {
                    round_trip,
                    leader_is_one,
                    leadership_of_a_clock_ahead_is_void,
                    race_of_leaders,
                    race_of_news_and_removal,
                    race_to_take_over,
                    stamps_grow,
                    race_for_stamps,
                    missed_purges,
                }
            }
            alarm {
                threshold {
                    round_trip,
                    go_with_their_customer,
                }
                alarm_row {
                    one_is_open,
                    an_alarm_ends_once,
                    lists_are_filtered,
                    prune,
                    leader_is_one,
                    race_for_one,
                }
            }
            webhook {
                delivery {
                    claim_takes_what_is_due,
                    lease_ends,
                    postponed_and_deleted,
                    wait_of_a_clock_ahead_is_void,
                    prune,
                    race_shares_out,
                }
            }
            authoring {
                app {
                    round_trip,
                    counts,
                    race_for_one_name,
                    revision_grows,
                    race_for_revisions,
                    lock_serialises,
                    delete_takes_everything,
                    most_of_an_account,
                }
                grant {
                    round_trip,
                    reaches,
                    ends_with_its_account,
                    race_for_one_account,
                }
                item {
                    round_trip,
                    profiles,
                    versions,
                    published,
                    numbers_are_kept,
                    search,
                    history_pages,
                    delete_and_again,
                    change_keeps_the_rest,
                    races,
                }
                change_set {
                    round_trip,
                    many_items,
                    largest,
                    race_of_sets,
                }
                key {
                    round_trip,
                    brought,
                    race_for_one_secret,
                }
                permission {
                    most_specific_grant_decides,
                    lists_show_what_may_be_read,
                }
                shared_namespace {
                    round_trip,
                    race_for_one_name,
                    goes_before_its_app,
                    known_to_another_server,
                }
                race {
                    last_admin_stays,
                    deleted_app_gets_no_item,
                    deleted_app_gets_no_grant,
                    deleted_account_creates_no_app,
                }
            }
            import {
                row_id {
                    goes_on_behind_an_id,
                }
                document {
                    ids_are_kept,
                    taken_ids_are_replaced,
                    all_or_nothing,
                    equal_objects_are_skipped,
                    customers_are_served_and_mapped_as_by_hand,
                    figures_are_answered,
                }
            }
            delivery {
                release {
                    round_trip,
                    since,
                    sets,
                    naming_all_online_is_full,
                }
                node {
                    round_trip,
                    lease_of_a_clock_ahead_is_void,
                    drift,
                    race_for_one_id,
                    race_with_its_app,
                    most_of_an_app,
                }
                pending {
                    drafts,
                    greys,
                    more_than_a_batch,
                }
                acknowledgement {
                    round_trip,
                    acknowledgement_of_a_clock_ahead_gives_way,
                    held_versions,
                    of_a_node,
                    prune,
                    race_of_reports,
                }
                rollout {
                    counts,
                    concerned_nodes,
                    applied_times,
                    reach,
                    part_acks,
                    parts,
                }
                model {
                    one_store_that_stays_open,
                }
                race {
                    published_item_is_not_deleted_by_a_developer,
                    publishes_have_revisions_without_gaps,
                    grey_release_ends_once,
                }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __expand_cases {
    ([table] $($room:ident { $($file:ident { $($case:ident,)* })* })*) => {
        &[$($($(
            $crate::Case {
                name: concat!(stringify!($room), "::", stringify!($file), "::", stringify!($case)),
                run: |storage| Box::pin($crate::$room::$file::$case(storage)),
            },
        )*)*)*]
    };
    ([tests $fresh:path] $($room:ident { $($file:ident { $($case:ident,)* })* })*) => {
        $(mod $room {
            $(mod $file {
                $(
                    #[test]
                    fn $case() {
                        let name = concat!(stringify!($room), "::", stringify!($file), "::", stringify!($case));
                        $crate::run(name, $fresh);
                    }
                )*
            })*
        })*
    };
}
