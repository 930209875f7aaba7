//! Sends three lines to a chat and prints the messages that it receives, until the server closes.
//!
//! `cargo run --example smol_tutorial_chat_client -- [URL]`

use std::time::Duration;

use ws_smol::{Callbacks, Client, Error, Keepalive};

fn main() -> Result<(), Error> {
    smol::block_on(run())
}

async fn run() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/chat".into());
    let callbacks = Callbacks::new()
        .on_message(|_session, message| println!("{message}"))
        .on_error(|_session, error| eprintln!("error: {error}"))
        .on_disconnect(|_session, close_info| println!("the end: {close_info}"));
    let keepalive = Keepalive { interval: Duration::from_secs(15), ..Keepalive::default() };
    let client = Client::new(&url)
        .configure(|config| config.keepalive = Some(keepalive))
        .start(callbacks, |task| smol::spawn(task).detach())
        .await?;
    for line in ["Hello!", "Is anybody here?", "Never mind."] {
        client.session().send(line)?;
    }
    client.wait().await;
    Ok(())
}
