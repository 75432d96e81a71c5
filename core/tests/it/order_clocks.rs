//! Orders while clocks are wrong by an hour: that of the store, and that of the agent's machine.

use chrono::TimeDelta;
use pilothouse_conformance::rows::machine;
use pilothouse_core::Settings;
use pilothouse_core::ops::{OrderState, OrderSweeper, Phase};

use crate::fleet::{Fleet, report};

#[tokio::test]
async fn an_order_of_a_clock_that_was_ahead_is_given_at_once() {
    let fleet = Fleet::new(Settings::default()).await;
    let task = fleet.add_task().await;
    fleet.clock.jump(TimeDelta::hours(1));
    fleet.pilothouse().updates().execute(&fleet.ann, task).await.unwrap();
    fleet.clock.jump(TimeDelta::hours(-1));
    assert_eq!(fleet.poll().await, None, "it is due in an hour");
    assert_eq!(OrderSweeper::new(fleet.pilothouse()).sweep().await.unwrap(), 1);
    let given = fleet.poll().await.unwrap().order;
    assert_eq!((given.task_id, given.state), (task, OrderState::Running));
    let left = given.deadline.unwrap() - given.lease_until.unwrap();
    assert_eq!(left, TimeDelta::seconds(86_400 - 60), "its deadline is that of now, too");
}

#[tokio::test]
async fn a_restarted_agent_whose_clock_went_back_is_believed() {
    let fleet = Fleet::new(Settings::default()).await;
    let task = fleet.add_task().await;
    fleet.pilothouse().updates().execute(&fleet.ann, task).await.unwrap();
    let given = fleet.poll().await.unwrap();
    fleet.report(&given, &report(&given, 3_600_000_000, Phase::Download)).await;
    let again = fleet.poll().await.unwrap();
    assert_eq!(again.order.attempt, given.order.attempt);
    fleet.report(&again, &report(&again, 1, Phase::Swap)).await;
    let seen = fleet.pilothouse().updates().find(&fleet.ann, task, None, 0).await.unwrap();
    assert_eq!(seen.order.phase, Some(Phase::Swap));
    fleet.clock.advance(TimeDelta::seconds(61));
    OrderSweeper::new(fleet.pilothouse()).sweep().await.unwrap();
    let seen = fleet.pilothouse().updates().find(&fleet.ann, task, None, 0).await.unwrap();
    assert_eq!(seen.order.state, OrderState::Unknown, "the file may have been replaced");
}

#[tokio::test]
async fn an_agent_that_was_seen_in_the_future_is_not_online() {
    let fleet = Fleet::new(Settings::default()).await;
    let name = machine(2).machine_name;
    let is_online = async || fleet.pilothouse().agents().machine(&fleet.ann, &name).await.unwrap().is_online;
    assert!(is_online().await);
    fleet.clock.jump(TimeDelta::hours(-1));
    assert!(!is_online().await);
    assert_eq!(fleet.poll().await, None);
    assert!(is_online().await);
}
