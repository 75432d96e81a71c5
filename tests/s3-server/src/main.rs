//! S3 server over a folder, which checks signatures: `s3-server FOLDER ADDRESS ACCESS_KEY SECRET_KEY`.
//!
//! It prints the address that it listens on. Buckets are folders in `FOLDER`, and objects files in them.

use std::io::Write;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [folder, address, access_key, secret_key] = &arguments[..] else {
        panic!("needs FOLDER ADDRESS ACCESS_KEY SECRET_KEY");
    };
    let mut service = S3ServiceBuilder::new(FileSystem::new(folder).expect("the folder can be used"));
    service.set_auth(SimpleAuth::from_single(access_key, secret_key.as_str()));
    let service = service.build();
    let listener = TcpListener::bind(address).await.expect("the address is free");
    let address = listener.local_addr().expect("a listener has an address");
    println!("{address}");
    std::io::stdout().flush().expect("standard output takes the address");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let service = service.clone();
        tokio::spawn(async move {
            // A client that goes away is no fault.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
