//! The domain without HTTP: a durable store, a use case, and the background work for a moment.
//!
//! `cargo run --example library`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_core::account::TokenAuthenticator;
use pilothouse_core::ops::NewTask;
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

    // Every use case takes a caller and decides what it may do.
    pilothouse.accounts().create_superuser("root", "root@example.com", "correct horse").await?;
    let access = pilothouse.logins().login("root", "correct horse", None).await?;
    let root = TokenAuthenticator::new(pilothouse.clone()).authenticate(&access.token, None).await?;
    let task = NewTask {
        ip: "192.0.2.7".into(),
        action: "update".into(),
        content: "/etc/motd".into(),
        description: "a friendlier greeting".into(),
    };
    println!("added the task {}", pilothouse.tasks().add(&root, task.clone()).await?);
    let refused = pilothouse.tasks().add(&root, NewTask { ip: "motd".into(), ..task }).await;
    println!("refused: {}", refused.map_or_else(|error| error.to_string(), |id| id.to_string()));
    println!("there are {} tasks", pilothouse.tasks().list(&root, Page::default()).await?.len());

    // Dropping the background work is safe at any moment; cancelling lets it write down what it holds.
    let stop = CancellationToken::new();
    let work = tokio::spawn(Workers::new(pilothouse).run(stop.clone()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.cancel();
    Ok(work.await?)
}
