//! Domain as a library, without HTTP: a durable store, use cases with their permission checks, and the background jobs.
//!
//! `cargo run --example library`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_core::account::TokenAuthenticator;
use pilothouse_core::ops::NewTask;
use pilothouse_core::ops::TaskFilter;
use pilothouse_core::ports::Authenticator;
use pilothouse_core::{Page, Pilothouse, Settings, Workers};
use pilothouse_storage_sqlx::SqlxStorage;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let storage = SqlxStorage::sqlite(folder.path().join("fleet.db")).await?;
    println!("applied {:?}", storage.migrate().await?);
    let pilothouse = Pilothouse::new(Arc::new(storage), Settings::default())?;

    // Every use case takes the caller and checks its permissions.
    pilothouse.accounts().create_superuser("root", "root@example.com", "correct horse").await?;
    let access = pilothouse.logins().login("root", "correct horse", None).await?;
    let root = TokenAuthenticator::new(pilothouse.clone()).authenticate(&access.token, None).await?;
    let task = NewTask {
        ip: "192.0.2.7".parse()?,
        action: "update".into(),
        content: "/etc/motd".into(),
        description: "update the greeting".into(),
        file: None,
    };
    println!("added the task {}", pilothouse.tasks().add(&root, task.clone()).await?);
    let refused = pilothouse.tasks().add(&root, NewTask { action: "Update!".into(), ..task }).await;
    println!("refused: {}", refused.map_or_else(|error| error.to_string(), |id| id.to_string()));
    println!(
        "there are {} tasks",
        pilothouse.tasks().list(&root, &TaskFilter::default(), Page::default()).await?.rows.len()
    );

    // Dropping the workers is safe at any moment; cancelling them lets them flush their buffers first.
    let shutdown = CancellationToken::new();
    let workers = tokio::spawn(Workers::new(pilothouse).run(shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    shutdown.cancel();
    Ok(workers.await?)
}
