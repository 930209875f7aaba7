//! tokio-tungstenite の examples にあるエコーサーバーです。

use std::{env, io::Error};

use futures_util::StreamExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_string());
    let listener = TcpListener::bind(&addr).await.expect("Failed to bind");
    println!("Listening on: {}", listener.local_addr()?);

    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(accept_connection(stream));
    }
    Ok(())
}

async fn accept_connection(stream: TcpStream) {
    stream.set_nodelay(true).expect("connected streams have options");
    let ws_stream =
        ws_smol::accept(stream.compat()).await.expect("Error during the websocket handshake occurred");

    let (write, read) = ws_stream.split();
    // ストリームはメッセージだけを返すので、選別する必要はありません。
    read.forward(write).await.expect("Failed to forward messages");
}
