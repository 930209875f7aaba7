//! Keepalive: pings each client every second and disconnects clients that miss two pings in a row.
//!
//! `cargo run --example smol_heartbeat -- [ADDRESS]`

use std::time::Duration;

use ws_smol::{Callbacks, Error, Keepalive, Route, Server};

fn main() -> Result<(), Error> {
    smol::block_on(run())
}

async fn run() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let second = Duration::from_secs(1);
    let callbacks = Callbacks::new()
        .on_connect(|session| println!("{} is there", session.id()))
        .on_disconnect(|session, close_info| println!("{} is gone: {close_info}", session.id()));
    let route = Route::callbacks(callbacks).configure(move |config| {
        config.keepalive = Some(Keepalive { interval: second, timeout: second, max_missed: Some(2) });
    });
    let listener = Server::new().mount("/", route).bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    listener.serve().await
}
