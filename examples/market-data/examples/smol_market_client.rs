//! Prints the numbers of a market data feed. When the connection is lost, the client connects again and continues after the last
//! number.
//!
//! `cargo run --release --example smol_market_client -- URL [--ca FILE] [--proxy URL] [--resolve HOST=ADDR]`

use std::{
    error, process,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use ws_market_data::{Feed, Options, reconnect_policy};
use ws_smol::{Callbacks, Client, ClientTls, Error, WhileDisconnected};

fn main() {
    if let Err(error) = smol::block_on(run()) {
        eprintln!("smol_market_client: {error}");
        process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn error::Error>> {
    let options = Options::from_env()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let mut client = Client::new(&options.url);
    client = options.ca.into_iter().fold(client, |client, file| client.tls(ClientTls::new().ca_file(file)));
    client = options.proxy.iter().fold(client, |client, proxy| client.proxy(proxy));
    client = options.resolve.iter().fold(client, |client, (host, address)| client.resolve(host, *address));

    let feed = Arc::new(Mutex::new(Feed::default()));
    let resumed = feed.clone();
    let callbacks = Callbacks::new()
        .on_connect(move |session| drop(session.send(resumed.lock().unwrap().resume())))
        .on_message(move |_, message| {
            if let Some(seq) = feed.lock().unwrap().receive(message.as_text().unwrap_or_default()) {
                println!("seq {seq}");
            }
        });
    let client = client
        .reconnect(reconnect_policy())
        // A feed has no end, so that the client connects again after every Close.
        .retry_if(|error| error.is_transient() || matches!(error, Error::Closed(_)))
        .start(callbacks, WhileDisconnected::Fail, |task| smol::spawn(task).detach());

    let stopping = client.clone();
    thread::spawn(move || {
        signals.forever().next().map(|_| smol::block_on(stopping.stop(Duration::from_secs(5))))
    });
    Ok(client.wait().await?)
}
