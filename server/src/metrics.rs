//! `/metrics` on a listener of its own, in Prometheus text.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Serves until cancelled.
pub(crate) async fn serve(listen: SocketAddr, ended: CancellationToken) -> Result<(), Failure> {
    let recorder = PrometheusBuilder::new().install_recorder();
    let recorder = recorder.map_err(|error| Failure::failed("metrics", error))?;
    let listener = tokio::net::TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| Failure::failed(format!("metrics_listen {listen}"), error))?;
    let upkeep = recorder.clone();
    let stop = ended.clone();
    tokio::spawn(async move {
        // Without it the summaries would keep every sample.
        while !stop.is_cancelled() {
            upkeep.run_upkeep();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    });
    let router = Router::new().route("/metrics", get(move || async move { recorder.render() }));
    tokio::spawn(async move {
        let serving = axum::serve(listener, router).with_graceful_shutdown(ended.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    Ok(())
}
