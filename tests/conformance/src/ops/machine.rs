//! Cases of the machine inventory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use pilothouse_core::account::{Group, Groups};
use pilothouse_core::ops::{
    Machine, MachineFilter, MachineNumber, NewTask, Status, StatusReport, TaskId, UpdateMachine,
};
use pilothouse_core::ports::Storage;
use pilothouse_core::{ErrorKind, Order, Page};

use crate::Fixture;
use crate::race::race;
use crate::rows::AWKWARD;

/// A machine told apart by `n`.
pub fn machine(n: i64) -> Machine {
    Machine {
        id: MachineNumber::UNSAVED,
        machine_name: format!("web{n:02}"),
        inside_ip: IpAddr::V4(Ipv4Addr::new(10, 2, 2, 2)),
        outside_ip: (n % 2 == 1).then_some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        usage: "web 服务器1".into(),
        is_initialized: n % 2 == 1,
        location: AWKWARD.into(),
    }
}

/// Machines are added, found, listed, changed and deleted by name.
pub(crate) async fn round_trip(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    for n in 1..=3 {
        assert!(work.machines().insert(&machine(n)).await.unwrap());
    }
    assert!(!work.machines().insert(&machine(2)).await.unwrap());
    let all = work.machines().list(&MachineFilter::default(), Page::default()).await.unwrap();
    let expected: Vec<_> =
        all.iter().zip(1..).map(|(held, n)| Machine { id: held.id, ..machine(n) }).collect();
    assert_eq!(all, expected);
    assert!(all.len() == 3 && all.is_sorted_by_key(|machine| machine.id));
    assert_eq!(
        work.machines().list(&MachineFilter::default(), Page::at(all[1].id.0, 1)).await.unwrap(),
        all[1..2]
    );

    let changed = Machine {
        id: all[0].id,
        location: "阿里云".into(),
        outside_ip: None,
        is_initialized: false,
        ..machine(1)
    };
    assert!(work.machines().update(&changed).await.unwrap());
    assert!(!work.machines().update(&machine(9)).await.unwrap());
    assert_eq!(work.machines().find("web01").await.unwrap(), Some(changed));
    assert!(work.machines().delete("web01").await.unwrap());
    assert!(!work.machines().delete("web01").await.unwrap());
    assert_eq!(work.machines().find("web01").await.unwrap(), None);
}

/// A change keeps what it does not name, and may send the id back.
pub(crate) async fn change_keeps_the_rest(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let machines = fixture.pilothouse.machines();
    let caller =
        fixture.account("ann", [Group::ReadMachines, Group::WriteMachines].into_iter().collect()).await;
    machines.add(&caller, machine(1)).await.unwrap();
    let found = async || machines.find(&caller, "web01").await.unwrap().unwrap();
    let before = found().await;
    let named = UpdateMachine { machine_name: "web01".into(), ..UpdateMachine::default() };
    let moved = UpdateMachine { id: Some(before.id), location: Some("腾讯云".into()), ..named.clone() };
    machines.update(&caller, moved).await.unwrap();
    let id = before.id;
    let expected = Machine { location: "腾讯云".into(), ..before };
    assert_eq!(found().await, expected);
    machines.update(&caller, UpdateMachine { outside_ip: Some(None), ..named.clone() }).await.unwrap();
    assert_eq!(found().await, Machine { outside_ip: None, ..expected });
    let another = UpdateMachine { id: Some(MachineNumber(id.0 + 1)), ..named };
    let refused = machines.update(&caller, another).await.unwrap_err();
    assert_eq!(refused.to_string(), "id: is not that of this machine_name");
    assert_eq!(machines.find(&caller, "web02").await.unwrap(), None);
}

/// Of many that want one name at once, one gets it.
pub(crate) async fn race_for_one_name(storage: Arc<dyn Storage>) {
    let won = race(&storage, async |storage: Arc<dyn Storage>, _| {
        let mut work = storage.begin().await.unwrap();
        let won = work.machines().insert(&machine(1)).await.unwrap();
        work.commit().await.unwrap();
        won
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// A name that looks like a taken one is taken; one that shows not all it holds is invalid.
pub(crate) async fn names_that_look_the_same_are_one(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Groups::all()).await;
    let named = |name: &str| Machine { machine_name: name.to_owned(), ..machine(1) };
    // As a row from before such names were refused.
    let mut work = storage.begin().await.unwrap();
    assert!(work.machines().insert(&named("db\u{a0}")).await.unwrap());
    work.commit().await.unwrap();
    let machines = fixture.pilothouse.machines();
    let add = async |name: &str| machines.add(&ann, named(name)).await.map_err(|error| error.kind());
    assert_eq!(add("web01").await, Ok(()));
    for name in ["web01", "WEB01", "Web01", "db", "DB"] {
        assert_eq!(add(name).await, Err(ErrorKind::AlreadyExists), "{name}");
    }
    for name in [" web01", "web01\u{3000}", "web\u{200b}01", "\u{2800}"] {
        assert_eq!(add(name).await, Err(ErrorKind::Invalid), "{name:?}");
    }
    assert_eq!(add("web 01").await, Ok(()));
    // What is there is named as it was written.
    let moved = |name: &str| UpdateMachine {
        machine_name: name.to_owned(),
        location: Some("moved".into()),
        ..UpdateMachine::default()
    };
    assert_eq!(machines.update(&ann, moved("WEB01")).await.unwrap_err().kind(), ErrorKind::NotFound);
    machines.update(&ann, moved("db\u{a0}")).await.unwrap();
    machines.delete(&ann, "db\u{a0}", &[]).await.unwrap();

    let server = fixture.pilothouse.clone();
    let won = race(&storage, move |_, n| {
        let (server, ann) = (server.clone(), ann.clone());
        let machine = named(if n % 2 == 0 { "cache" } else { "Cache" });
        async move { server.machines().add(&ann, machine).await.is_ok() }
    })
    .await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
}

/// Machines are found by purpose, location, text and address, in either order, and counted.
pub(crate) async fn filters(storage: Arc<dyn Storage>) {
    let mut work = storage.begin().await.unwrap();
    for n in 1..=6 {
        let usage = if n % 2 == 0 { "db" } else { "web" }.to_owned();
        let location = if n < 4 { "north" } else { "south" }.to_owned();
        let inside_ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(n).unwrap()));
        let held = Machine { usage, location, inside_ip, ..machine(n) };
        assert!(work.machines().insert(&held).await.unwrap());
    }
    work.commit().await.unwrap();
    let mut snapshot = storage.read().await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let newest = Page { order: Order::Newest, ..Page::at(0, 2) };
    for (filter, expected) in [
        (MachineFilter::default(), vec![1, 2, 3, 4, 5, 6]),
        (MachineFilter { usage: text("db"), ..Default::default() }, vec![2, 4, 6]),
        (MachineFilter { location: text("north"), ..Default::default() }, vec![1, 2, 3]),
        (MachineFilter { usage: text("db"), location: text("north"), ..Default::default() }, vec![2]),
        (MachineFilter { text: text("eb0"), ..Default::default() }, vec![1, 2, 3, 4, 5, 6]),
        (MachineFilter { text: text("0.0.3"), ..Default::default() }, vec![3]),
        (MachineFilter { text: text("::1"), usage: text("web"), ..Default::default() }, vec![1, 3, 5]),
        (MachineFilter { text: text("WEB"), ..Default::default() }, vec![]),
        (MachineFilter { text: text("%"), ..Default::default() }, vec![]),
    ] {
        let mut names = async |page: Page| -> Vec<String> {
            let found = snapshot.machines().list(&filter, page).await.unwrap();
            found.into_iter().map(|machine| machine.machine_name).collect()
        };
        let expected: Vec<_> = expected.into_iter().map(|n| machine(n).machine_name).collect();
        assert_eq!(names(Page::default()).await, expected, "{filter:?}");
        let last: Vec<_> = expected.iter().rev().take(2).cloned().collect();
        assert_eq!(names(newest).await, last, "{filter:?}");
        assert_eq!(snapshot.machines().count(&filter).await.unwrap(), expected.len() as u64);
    }
    let third = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));
    let with = snapshot.machines().with_address(third).await.unwrap();
    assert!(with.len() == 1 && with[0].machine_name == "web03");
    assert_eq!(snapshot.machines().with_address(IpAddr::V6(Ipv6Addr::LOCALHOST)).await.unwrap().len(), 3);
}

/// A list is added whole or not at all; `upsert` replaces what is there; a shared address is told.
pub(crate) async fn lists_are_saved_whole(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage.clone());
    let ann = fixture.account("ann", Groups::all()).await;
    let machines = fixture.pilothouse.machines();
    let names = async || storage.read().await.unwrap().machines().names().await.unwrap().len();
    machines.add(&ann, machine(1)).await.unwrap();
    let refused = machines.add_all(&ann, vec![machine(2), machine(1)], None).await.unwrap_err();
    assert_eq!(refused.to_string(), "a machine with the machine_name web01 already exists");
    let refused = machines.add_all(&ann, vec![machine(2), machine(2)], None).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert_eq!(machines.add_all(&ann, vec![], None).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(names().await, 1);
    let moved = Machine { location: "moved".into(), ..machine(1) };
    let shared = machines.upsert_all(&ann, vec![moved.clone(), machine(2)]).await.unwrap();
    assert_eq!((shared.len(), names().await), (0, 2));
    let found = machines.find(&ann, "web01").await.unwrap().unwrap();
    assert_eq!(found, Machine { id: found.id, ..moved });
    let twin = Machine { machine_name: "twin".into(), ..machine(2) };
    let shared = machines.add_all(&ann, vec![twin], None).await.unwrap();
    assert!(shared[0].to_string().starts_with("twin and web02 both have 10.2.2.2 in "), "{}", shared[0]);
}

/// A machine keeps its id under another name, which is free.
pub(crate) async fn renamed(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let ann = fixture.account("ann", Groups::all()).await;
    let machines = fixture.pilothouse.machines();
    machines.add_all(&ann, vec![machine(1), machine(2)], None).await.unwrap();
    let before = machines.find(&ann, "web01").await.unwrap().unwrap();
    let rename =
        async |from: &str, to: &str| machines.rename(&ann, from, to).await.map_err(|error| error.kind());
    assert_eq!(rename("web01", "WEB02").await, Err(ErrorKind::AlreadyExists));
    assert_eq!(rename("web01", " db").await, Err(ErrorKind::Invalid));
    assert_eq!(rename("web01", "").await, Err(ErrorKind::Invalid));
    assert_eq!(rename("web09", "db").await, Err(ErrorKind::NotFound));
    // Its own name in another case is free.
    assert_eq!(rename("web01", "Web01").await, Ok(()));
    assert_eq!(rename("Web01", "db").await, Ok(()));
    let after = machines.find(&ann, "db").await.unwrap().unwrap();
    assert_eq!(after, Machine { machine_name: "db".into(), ..before });
    assert_eq!(machines.find(&ann, "web01").await.unwrap(), None);
}

/// A machine with open tasks is deleted only with them named; then they are cancelled.
pub(crate) async fn open_tasks_are_cancelled_by_name(storage: Arc<dyn Storage>) {
    let fixture = Fixture::new(storage);
    let ann = fixture.account("ann", Groups::all()).await;
    let writes_machines = fixture.account("bob", [Group::WriteMachines].into_iter().collect()).await;
    let (machines, tasks) = (fixture.pilothouse.machines(), fixture.pilothouse.tasks());
    machines.add(&ann, machine(1)).await.unwrap();
    let add = async |ip: &str| -> TaskId {
        let [action, content, description] = ["update", "/file", "why"].map(str::to_owned);
        tasks
            .add(&ann, NewTask { ip: ip.parse().unwrap(), action, content, description, file: None })
            .await
            .unwrap()
    };
    let report = |status, percent| StatusReport {
        start_time: None,
        revert_time: None,
        percent,
        status,
        revert: 0.try_into().unwrap(),
    };
    let (waiting, running, done, elsewhere) =
        (add("10.2.2.2").await, add("::1").await, add("10.2.2.2").await, add("10.2.2.3").await);
    tasks.report(&ann, running, report(Status::Running, 50)).await.unwrap();
    tasks.report(&ann, done, report(Status::Running, 100)).await.unwrap();
    let refused = machines.delete(&ann, "web01", &[]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains(&waiting.to_string()), "{refused}");
    let refused = machines.delete(&ann, "web01", &[waiting]).await.unwrap_err();
    assert!(refused.to_string().starts_with("1 of its tasks wait or run"), "{refused}");
    for other in [elsewhere, done] {
        let refused = machines.delete(&ann, "web01", &[waiting, running, other]).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("cancel: {other} is no open task of this machine"));
    }
    let refused = machines.delete(&writes_machines, "web01", &[waiting, running]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    let status = async |task| tasks.find_status(&ann, task).await.unwrap().unwrap().outcome();
    assert_eq!((status(waiting).await, status(running).await), (Status::Pending, Status::Running));
    machines.delete(&ann, "web01", &[waiting, running]).await.unwrap();
    assert_eq!((status(waiting).await, status(running).await), (Status::Cancelled, Status::Cancelled));
    assert_eq!((status(done).await, status(elsewhere).await), (Status::Succeeded, Status::Pending));

    // Of an address that two machines have nobody knows whose task it is.
    machines.add_all(&ann, vec![machine(2), machine(4)], None).await.unwrap();
    add("10.2.2.2").await;
    machines.delete(&ann, "web02", &[]).await.unwrap();
    assert_eq!(machines.delete(&ann, "web04", &[]).await.unwrap_err().kind(), ErrorKind::Conflict);
}
