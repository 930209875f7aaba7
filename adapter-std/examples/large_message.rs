//! Sends a message of 64 KiB in one call and prints the reply.
//!
//! `cargo run --example large_message -- [URL]`

use ws_std::{CloseCode, Error};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut ws = ws_std::connect(&url)?;
    ws.send(vec![0xAB; 64 << 10])?;
    println!("sent: {} bytes", 64 << 10);
    if let Some(message) = ws.receive()? {
        println!("received: {message}");
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "")
}
