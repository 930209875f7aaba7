//! Says hello to an echo server, once as text and once as binary, and closes.
//!
//! `cargo run --release --example echo_client -- ws://127.0.0.1:9001/echo`

use std::{error::Error, process};

use ws_std::CloseCode;

fn main() {
    if let Err(error) = run() {
        eprintln!("echo_client: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let url = url()?;
    let mut ws = ws_std::connect(&url)?;
    ws.send("Hello, WebSocket!")?;
    println!("received: {}", ws.receive()?.ok_or("the server closed before it answered the text")?);
    ws.send(&[0xDE, 0xAD, 0xBE, 0xEF])?;
    println!("received: {}", ws.receive()?.ok_or("the server closed before it answered the bytes")?);
    ws.close(CloseCode::NORMAL_CLOSURE, "bye")?;
    Ok(())
}

fn url() -> Result<String, lexopt::Error> {
    use lexopt::prelude::*;
    let mut url = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(value) if url.is_none() => url = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    url.ok_or_else(|| "say where to connect, such as ws://127.0.0.1:9001/echo".into())
}
