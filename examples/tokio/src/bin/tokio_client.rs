//! A client on tokio's sockets with `ws-core`: `tokio_client ws://127.0.0.1:9001/`.

use std::{env, error::Error, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use ws_core::{
    CloseCode, Config, HandshakeConfig, Timestamp, Url,
    client::{Handshake, Request},
};
use ws_example_tokio::{WebSocket, read_head};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into()).parse()?;
    let mut ws = timeout(Duration::from_secs(10), connect(url)).await??;
    ws.connection.send("Hello, WebSocket!")?;
    if let Some(message) = ws.receive().await {
        println!("received: {message}");
        ws.connection.close(CloseCode::NORMAL_CLOSURE, "bye")?;
    }
    while ws.receive().await.is_some() {}
    if let Some(close_info) = ws.connection.close_info() {
        println!("{close_info}");
    }
    Ok(())
}

/// Connects, and runs the opening handshake.
async fn connect(url: Url) -> Result<WebSocket, Box<dyn Error>> {
    let mut stream = TcpStream::connect((url.host(), url.port())).await?;
    let (request, config, mut seed) = (Request::new(url), Arc::new(Config::default()), [0; 32]);
    getrandom::fill(&mut seed)?;
    let mut handshake = Handshake::new(&request, &HandshakeConfig::default(), config, seed, Timestamp::ZERO)?;
    stream.write_all_buf(&mut handshake.transmit()).await?;
    let ((connection, _response), unread) = read_head(&mut stream, |input| handshake.receive(input)).await?;
    Ok(WebSocket::new(stream, connection, unread))
}
