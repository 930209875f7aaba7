//! Says hello to an echo server, once as text and once as binary, and closes.
//!
//! `cargo run --release --example echo_client -- ws://127.0.0.1:9001/echo [--ca FILE] [--insecure]`

use std::{error::Error, process, time::Duration};

use ws_std::{Client, ClientTls, CloseCode};

/// How long to wait for an echo.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    if let Err(error) = run() {
        eprintln!("echo_client: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (url, tls) = options()?;
    let mut ws = Client::new(&url).tls(tls).read_timeout(Some(PATIENCE)).connect()?;
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
    let url = url.ok_or("say where to connect, such as ws://127.0.0.1:9001/echo")?;
    Ok((url, tls))
}
