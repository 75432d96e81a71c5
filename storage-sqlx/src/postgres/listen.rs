//! Wake-ups between servers: `NOTIFY` on one channel, outside the transaction that is announced.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use pilothouse_core::config::AppId;
use pilothouse_core::ops::MachineNumber;
use pilothouse_core::ports::{Signal, StorageResult, Topic};
use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::sync::broadcast;

use super::limits::{ACQUIRE, LISTENER_PING, LISTENER_PING_AFTER};
use super::origin::verify_origin;
use crate::connection::Connection;
use crate::error::refused;
use crate::session::{Session, within};
use crate::statement::statements;
use crate::value::values;

/// Channel of `NOTIFY`, shared by all servers on the database.
const CHANNEL: &str = "pilothouse";
/// Pause before listening again after a failure.
const RETRY: Duration = Duration::from_secs(1);

statements! {
    NOTIFY = "SELECT 1 FROM (SELECT pg_notify($1, $2)) AS notified";
}

/// Announces a topic to all servers, this one included.
pub(super) async fn announce(connection: &mut Connection, topic: Topic) -> StorageResult<()> {
    connection.execute(NOTIFY, values![CHANNEL, encode(topic)]).await.map(|_| ())
}

/// Passes announcements on to the receivers, and [`Signal::Lost`] whenever some may have been missed.
pub(super) async fn listen(options: Arc<PgConnectOptions>, signals: broadcast::Sender<Signal>) {
    loop {
        if let Err(error) = listen_once(&options, &signals).await {
            let error = &error as &dyn Error;
            tracing::debug!(error, "listening for wake-ups failed; it is tried again");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Listens until the connection fails.
async fn listen_once(options: &PgConnectOptions, signals: &broadcast::Sender<Signal>) -> sqlx::Result<()> {
    // A pool of its own, so that listening occupies no connection of the store's pool.
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE);
    let pool = pool.connect_lazy_with(options.clone());
    // This may be a standby that was promoted, or a restored database.
    if let Err(error) = verify(&pool).await {
        let error = &error as &dyn Error;
        tracing::debug!(
            error,
            "whether the database holds another history is unknown; it is looked at again"
        );
        return Ok(());
    }
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    within(Some(LISTENER_PING), listener.listen(CHANNEL)).await?;
    // Earlier announcements were missed. Sending fails only without receivers.
    let _ = signals.send(Signal::Lost);
    loop {
        match tokio::time::timeout(LISTENER_PING_AFTER, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Some(topic) = decode(notification.payload()) {
                    let _ = signals.send(Signal::Changed(topic));
                }
            }
            // The connection is lost.
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            // Silence is normal here, so only a ping tells whether the connection is alive.
            Err(_) => {
                within(Some(LISTENER_PING), (&mut listener).execute("SELECT 1")).await?;
            }
        }
    }
}

/// Renews the epoch where the database is another than before.
async fn verify(pool: &PgPool) -> StorageResult<()> {
    let session = Session::Postgres(pool.acquire().await.map_err(refused)?);
    let mut connection = Connection::new(session).write().await?;
    verify_origin(&mut connection).await?;
    connection.commit().await
}

fn encode(topic: Topic) -> String {
    match topic {
        Topic::Jobs => "jobs".to_owned(),
        Topic::App(id) => format!("app:{id}"),
        Topic::Machine(id) => format!("machine:{id}"),
        Topic::Batches => "batches".to_owned(),
    }
}

fn decode(payload: &str) -> Option<Topic> {
    match payload.split_once(':') {
        None if payload == "jobs" => Some(Topic::Jobs),
        None if payload == "batches" => Some(Topic::Batches),
        Some(("app", id)) => id.parse().ok().map(|id| Topic::App(AppId(id))),
        Some(("machine", id)) => id.parse().ok().map(|id| Topic::Machine(MachineNumber(id))),
        _ => None,
    }
}
