//! TLS certificate and key, read again on SIGHUP and when their files change.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use axum_server::tls_rustls::RustlsConfig;
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};

use crate::failure::Failure;
use crate::settings::Settings;

/// Interval of looking whether the files changed.
const LOOK: Duration = Duration::from_secs(5);

/// The pair in use, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct TlsPair {
    certificate: PathBuf,
    key: PathBuf,
}

/// A pair in use.
#[derive(Debug)]
pub(crate) struct LoadedPair {
    pub(crate) config: RustlsConfig,
    pair: TlsPair,
    /// Files as they were before they were read: what changes while they are is read again.
    fingerprint: Fingerprint,
}

/// Identity, length and time of both files; none of a file that cannot be read.
type Fingerprint = [Option<(u64, u64, i64, i64)>; 2];

impl TlsPair {
    /// The pair that the settings name, if they do.
    pub(crate) fn of(settings: &Settings) -> Option<Self> {
        let (certificate, key) = (settings.tls_certificate.clone()?, settings.tls_key.clone()?);
        Some(Self { certificate, key })
    }

    /// Reads the pair. A key that is not the certificate's is refused.
    pub(crate) async fn load(self) -> Result<LoadedPair, Failure> {
        let fingerprint = self.fingerprint();
        let loaded = RustlsConfig::from_pem_file(&self.certificate, &self.key).await;
        let config = loaded.map_err(|error| Failure::failed("tls_certificate and tls_key", error))?;
        Ok(LoadedPair { config, pair: self, fingerprint })
    }

    fn fingerprint(&self) -> Fingerprint {
        [&self.certificate, &self.key].map(|file| {
            // Of the file itself where it is a link, as those are that renew certificates.
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        })
    }

    async fn reload(&self, config: &RustlsConfig) {
        let certificate = self.certificate.display().to_string();
        match config.reload_from_pem_file(&self.certificate, &self.key).await {
            Ok(()) => tracing::info!(certificate, "TLS certificate reloaded"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    certificate,
                    error,
                    "the TLS certificate could not be reloaded; the earlier one stays in use"
                );
            }
        }
    }
}

/// Reloads the pair, if there is one, on every hang-up signal and when its files changed, for ever.
pub(crate) async fn keep_current(tls: Option<LoadedPair>, mut hang_up: Signal) {
    let Some(LoadedPair { config, pair, fingerprint: mut known }) = tls else {
        // Taken nevertheless, so that a reload asked of every service ends none.
        while hang_up.recv().await.is_some() {
            tracing::info!("nothing is reloaded: TLS is not set");
        }
        return;
    };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            signal = hang_up.recv() => signal.is_some(),
            _ = looks.tick() => false,
        };
        let found = pair.fingerprint();
        if asked || found != known {
            // Files that do not fit are tried again when they change again: the second of the two may still be written.
            known = found;
            pair.reload(&config).await;
        }
    }
}
