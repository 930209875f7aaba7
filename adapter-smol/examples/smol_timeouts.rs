//! Sets all timeouts of a client: for connecting, the opening handshake, receiving and sending. After one second
//! without a message it sends a question.
//!
//! `cargo run --example smol_timeouts -- [URL]`

use std::time::Duration;

use smol::{Timer, future::FutureExt as _};
use ws_smol::{Client, Error, TimeoutKind};

fn main() -> Result<(), Error> {
    smol::block_on(run())
}

async fn run() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let client = Client::new(&url)
        .connect_timeout(Duration::from_secs(3))
        .configure_handshake(|limits| limits.open_timeout = Some(Duration::from_secs(3)))
        .read_timeout(Some(Duration::from_secs(1)));
    let mut ws = client.connect().await?;
    loop {
        match ws.receive().await {
            Ok(Some(message)) => println!("received: {message}"),
            Ok(None) => return Ok(()),
            // The connection is still usable.
            Err(Error::Timeout(TimeoutKind::Read)) => {
                println!("no message for a second");
                ws.send("anybody there?").or(too_late()).await?;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn too_late() -> Result<(), Error> {
    Timer::after(Duration::from_secs(5)).await;
    Err(Error::Timeout(TimeoutKind::Write))
}
