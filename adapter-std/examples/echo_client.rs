//! Sends a text message and a binary message to an echo server, prints the replies, and closes.
//!
//! `cargo run --release --example echo_client -- ws://127.0.0.1:9001/echo [--ca FILE] [--insecure]`

use std::{error::Error, process, time::Duration};

use ws_std::{Client, ClientTls, CloseCode};

/// Maximum time to wait for each echo.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

fn main() {
    if let Err(error) = run() {
        eprintln!("echo_client: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (url, tls) = options()?;
    let mut ws = Client::new(&url).tls(tls).read_timeout(Some(READ_TIMEOUT)).connect()?;
    ws.send("Hello, WebSocket!")?;
    println!("received: {}", ws.receive()?.ok_or("the server closed before it answered the text")?);
    ws.send(&[0xDE, 0xAD, 0xBE, 0xEF])?;
    println!("received: {}", ws.receive()?.ok_or("the server closed before it answered the bytes")?);
    ws.close(CloseCode::NORMAL_CLOSURE, "bye")?;
    Ok(())
}

fn options() -> Result<(String, ClientTls), lexopt::Error> {
    use lexopt::prelude::*;
    let (mut url, mut tls) = (None, ClientTls::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("ca") => tls = tls.ca_file(parser.value()?),
            Long("insecure") => tls = tls.danger_accept_any_certificate(),
            Value(value) if url.is_none() => url = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    let url = url.ok_or("a URL is missing, such as ws://127.0.0.1:9001/echo")?;
    Ok((url, tls))
}
