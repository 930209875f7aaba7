//! Sends a message of 64 KiB in one call and prints the reply.
//!
//! `cargo run --example smol_large_message -- [URL]`

use ws_smol::{CloseCode, Error};

fn main() -> Result<(), Error> {
    smol::block_on(run())
}

async fn run() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut ws = ws_smol::connect(&url).await?;
    ws.send(vec![0xAB; 64 << 10]).await?;
    println!("sent: {} bytes", 64 << 10);
    if let Some(message) = ws.receive().await? {
        println!("received: {message}");
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "").await
}
