//! Memory of a server while many clients read a large namespace at once.

use std::time::Duration;

use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::releases::{Args, apply};
use crate::server::{OPEN_APP, PROFILE, Server, create_app, resident_memory};

const READERS: usize = 100;
/// Values of 1 MiB, in one namespace.
const VALUES: usize = 20;
const VALUE: usize = 1_000_000;

/// Measures the memory before and while [`READERS`] read, who take their answers slowly.
pub(crate) async fn measure(args: &Args) -> Result<()> {
    println!("== {READERS} readers of a namespace of {} MB", VALUES * VALUE / 1_000_000);
    let mut server = Server::start(&args.program, "").await?;
    let mut connection = server.login().await?;
    create_app(&mut connection, OPEN_APP).await?;
    let value = "v".repeat(VALUE);
    for number in 0..VALUES {
        apply(&mut connection, OPEN_APP, (number, 1), &value, true).await?;
    }
    // What making them took is gone in a new process.
    drop(connection);
    server.kill9();
    server.start_process().await?;
    let idle = resident_memory(server.id())?;
    let configs = format!("/configs/{OPEN_APP}/{PROFILE}/application?ip=10.0.0.1");
    let file = format!("/configfiles/json/{OPEN_APP}/{PROFILE}/application?ip=10.0.0.1");
    for target in [&configs, &file] {
        let (mut readers, mut most) = (Vec::new(), idle);
        for _ in 0..READERS {
            let mut reader = Connection::open(server.address, "").await?;
            reader.send("GET", target, "", "").await?;
            readers.push(reader);
        }
        for _ in 0..20 {
            sleep(Duration::from_millis(100)).await;
            most = most.max(resident_memory(server.id())?);
        }
        for mut reader in readers {
            let answer = reader.response().await?;
            if answer.status() != "200" || answer.body.len() < VALUES * VALUE {
                return Err(format!("{target}: {}", answer.head).into());
            }
            most = most.max(resident_memory(server.id())?);
        }
        let mebibytes = |bytes: f64| bytes / 1_048_576.0;
        println!("   {target}: {:.0} MiB, {:.0} MiB when idle", mebibytes(most), mebibytes(idle));
    }
    Ok(())
}
