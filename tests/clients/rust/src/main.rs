//! Polls a key with apollo-rust-client and prints each new value on a line: URL APP CLUSTER KEY [SECRET].

use std::time::Duration;

use apollo_rust_client::Client;
use apollo_rust_client::client_config::ClientConfig;
use apollo_rust_client::namespace::Namespace;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    env_logger::init();
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap_or_default();
    let (config_server, app_id, cluster, key, secret) = (next(), next(), next(), next(), next());
    let mut client = Client::new(ClientConfig {
        app_id,
        cluster,
        config_server,
        secret: Some(secret).filter(|secret| !secret.is_empty()),
        cache_dir: Some(format!("{}/apollo-rust", std::env::var("HOME")?)),
        label: None,
        ip: None,
        allow_insecure_https: None,
        cache_ttl: None,
        refresh_interval: None,
        http_client: None,
    });
    client.start().await?;
    let mut last = None;
    loop {
        if let Namespace::Properties(items) = client.namespace("application").await? {
            let value = Some(items.get_string(&key));
            if value != last {
                println!("{}", value.clone().flatten().as_deref().unwrap_or("None"));
                last = value;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
