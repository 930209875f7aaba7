//! Waits for nothing without end: not for the connection, not for the opening handshake, not for a message,
//! not for the server to take one. After a second of silence it asks whether anybody is there.
//!
//! `cargo run --example timeouts -- [URL]`

use std::time::Duration;

use ws_std::{Client, Deadline, Error};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut ws = Client::new(&url)
        .connect_timeout(Duration::from_secs(3))
        .configure_handshake(|limits| limits.open_timeout = Some(Duration::from_secs(3)))
        .read_timeout(Some(Duration::from_secs(1)))
        .write_timeout(Some(Duration::from_secs(5)))
        .connect()?;
    loop {
        match ws.receive() {
            Ok(Some(message)) => println!("received: {message}"),
            Ok(None) => return Ok(()),
            // The connection is as it was.
            Err(Error::Timeout(Deadline::Read)) => {
                println!("a second of silence");
                ws.send("anybody there?")?;
            }
            Err(error) => return Err(error),
        }
    }
}
