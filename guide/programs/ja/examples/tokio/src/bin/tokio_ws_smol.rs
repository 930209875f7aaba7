//! tokio のランタイムで動く `ws-smol` のエコーサーバーです: `tokio_ws_smol --listen 127.0.0.1:9001`。すべての接続を
//! 1 つのタスクで処理する、最も速い方法です。`--spawn` を付けると、接続ごとに tokio のタスクになり、すべての
//! スレッドで動きます。Ctrl-C ですべての接続を 1001 で閉じます。

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
