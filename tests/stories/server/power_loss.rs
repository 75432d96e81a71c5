//! Loss of power: every acknowledged write is in the files that it leaves. `tests/power_loss.py` records and replays;
//! `./test --long` tries each flush, else a sample is tried.

use std::process::Command;

use pilothouse_test_support::{env_number, skip_test};

#[test]
fn acknowledged_writes_survive_a_loss_of_power() {
    let is_installed = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !is_installed("strace") || !is_installed("python3") {
        skip_test(
            "server::power_loss::acknowledged_writes_survive_a_loss_of_power",
            "strace or python3 is missing",
        );
        return;
    }
    let is_long = std::env::var_os("PILOTHOUSE_TEST_LONG").is_some();
    let (cuts, seconds) = if is_long { ("0", "5") } else { ("24", "3") };
    let replayed = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/power_loss.py"))
        .arg(env!("CARGO_BIN_EXE_pilothouse"))
        .args(["--cuts", cuts, "--seconds", seconds])
        .args(["--seed", &env_number("PILOTHOUSE_TEST_SEED", 1).to_string()])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&replayed.stdout);
    println!("{output}");
    assert!(replayed.status.success(), "{output}{}", String::from_utf8_lossy(&replayed.stderr));
    assert!(output.contains(" 0 wrong"), "{output}");
}
