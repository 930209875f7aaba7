//! Distinguishes text and binary messages, and replies in the same type: text in upper case, bytes in reverse.
//!
//! `cargo run --example text_or_binary -- [ADDRESS]`

use ws_std::{Error, HandlerResult, Message, Request, Server, WebSocket};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = Server::new().route("/", answer).bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    listener.serve()
}

fn answer(_request: Request, mut ws: WebSocket) -> HandlerResult {
    while let Some(message) = ws.receive()? {
        match message {
            Message::Text(text) => ws.send(text.to_uppercase())?,
            Message::Binary(bytes) => ws.send(bytes.iter().rev().copied().collect::<Vec<_>>())?,
        }
    }
    Ok(())
}
