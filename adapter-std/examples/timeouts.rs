//! Sets all timeouts of a client: for connecting, the opening handshake, receiving and sending. After one second
//! without a message it sends a question.
//!
//! `cargo run --example timeouts -- [URL]`

use std::time::Duration;

use ws_std::{Client, Error, TimeoutKind};

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
            // The connection is still usable.
            Err(Error::Timeout(TimeoutKind::Read)) => {
                println!("no message for a second");
                ws.send("anybody there?")?;
            }
            Err(error) => return Err(error),
        }
    }
}
