//! Sends one message to an echo server and prints the reply, in ten lines.
//!
//! `cargo run --example tutorial_echo_client -- [URL]`

use ws_std::{CloseCode, Error};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut ws = ws_std::connect(&url)?;
    ws.send("Hello, WebSocket!")?;
    if let Some(message) = ws.receive()? {
        println!("received: {message}");
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "bye")
}
