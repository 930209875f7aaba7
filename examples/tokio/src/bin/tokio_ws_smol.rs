//! An echo server of `ws-smol` under tokio's runtime: `tokio_ws_smol --listen 127.0.0.1:9001`. All connections are part of
//! one task, which is the fastest way. With `--spawn`, each connection is a task of tokio, so that they run on all
//! threads. Ctrl-C closes all connections with 1001.

use std::{env, time::Duration};

use tokio::signal;
use ws_smol::{Error, HandlerResult, Request, Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = env::args().skip_while(|argument| argument != "--listen").nth(1);
    let mut server = Server::new().route("/", echo).configure(|config| config.max_message_size = 64 << 20);
    if env::args().any(|argument| argument == "--spawn") {
        server = server.spawner(|task| drop(tokio::spawn(task)));
    }
    let listener = server.bind(address.as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let handle = listener.handle();
    let stopping = tokio::spawn(async move {
        let _ = signal::ctrl_c().await;
        handle.stop(Duration::from_secs(5)).await;
    });
    listener.serve().await?;
    let _ = stopping.await;
    Ok(())
}

async fn echo(_request: Request, mut ws: WebSocket) -> HandlerResult {
    while let Some(message) = ws.receive().await? {
        ws.feed(message).await?;
    }
    Ok(())
}
