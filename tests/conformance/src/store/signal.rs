//! Wake-ups after a commit: who is woken, and by which topic.

use pilothouse_core::config::AppId;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use pilothouse_core::ports::{Signal, Storage, Topic};

/// A waiter hears what is announced after it began to listen, or that it lost something.
pub(crate) async fn announced_reaches_waiters(storage: Arc<dyn Storage>) {
    let mut signals = storage.signals();
    // A store may need a moment before its waiters hear, so the announcement is repeated until it is heard.
    for topic in [Topic::Jobs, Topic::App(AppId(i64::MAX))] {
        let heard = async {
            loop {
                storage.announce(&[topic]).await;
                match tokio::time::timeout(Duration::from_millis(200), signals.next()).await {
                    Ok(Some(Signal::Changed(heard))) if heard == topic => return,
                    Ok(None) => panic!("the signals ended"),
                    Ok(Some(_)) | Err(_) => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), heard).await.unwrap();
    }
}
