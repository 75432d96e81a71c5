//! A broken network: downloads go on where they ended, and a server that is silent in the confirm window means the old file.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pilothouse_core::ops::OrderState;

use crate::online::Fleet;
use crate::proxy::proxy;

const MEBIBYTE: u64 = 1 << 20;

#[test]
fn a_download_that_breaks_off_is_not_sent_again() {
    let mut fleet = Fleet::new();
    fleet.write_old();
    let content: Vec<u8> = (0..8 * MEBIBYTE).map(|at| b'a' + u8::try_from(at / 1000 % 26).unwrap()).collect();
    fleet.set_content(&content);
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    fleet.url = proxy(
        &fleet.url,
        |_| true,
        move |length| {
            let before = count.fetch_add(length, Ordering::SeqCst);
            ![3 * MEBIBYTE, 5 * MEBIBYTE].iter().any(|cut| (before..before + length).contains(cut))
        },
    );
    fleet.write_settings(None);
    let task = fleet.add(None);
    fleet.execute(task);
    let _agent = fleet.run();
    fleet.settled(task, OrderState::Succeeded);
    assert!(fs::read(fleet.machine.file("motd")).unwrap() == content);
    let (sent, size) = (sent.load(Ordering::SeqCst), content.len() as u64);
    assert!(sent > size, "{sent} bytes: it did not come through the proxy");
    assert!(sent < size + MEBIBYTE, "{} bytes were sent again", sent - size);
}

#[test]
fn a_server_that_is_silent_in_the_confirm_window_means_the_old_file() {
    let mut fleet = Fleet::new();
    let old = fleet.write_old();
    let silent = fleet.machine.path("silent");
    let is_silent = silent.clone();
    fleet.url = proxy(&fleet.url, move |_| !is_silent.exists(), |_| true);
    // The reload of the new file is what makes the server silent.
    let cut = "if grep -q new \"$1\"; then touch \"$2\"; fi";
    let argv = serde_json::json!(["sh", "-c", cut, "sh", fleet.machine.file("motd"), silent]);
    fleet.write_settings_with(&format!("[command.cut]\nargv = {argv}\n"));
    let task = fleet.add_with_reload("cut");
    fleet.execute(task);
    let _agent = fleet.run();
    let begun = Instant::now();
    while !silent.exists() || fleet.machine.read("motd") != old.0 {
        assert!(begun.elapsed() < Duration::from_mins(3), "{:?}", fleet.view(task));
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(&silent).unwrap();
    let failed = fleet.settled(task, OrderState::Failed);
    assert!(failed.order.message.contains("within 30 s"), "{:?}", failed.order);
    assert_eq!(fleet.file(), old);
}
