//! Sends one message to an echo server and prints the reply, in ten lines.
//!
//! `cargo run --example smol_tutorial_echo_client -- [URL]`

use ws_smol::{CloseCode, Error};

fn main() -> Result<(), Error> {
    smol::block_on(run())
}

async fn run() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut ws = ws_smol::connect(&url).await?;
    ws.send("Hello, WebSocket!").await?;
    if let Some(message) = ws.receive().await? {
        println!("received: {message}");
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "bye").await
}
