//! Serves connections with a pool of 8 to 128 threads. Eight threads always exist, the others start and end with the
//! connections, and the 129th client is answered with 503. Each client receives the id of its thread.
//!
//! `cargo run --example thread_pool -- [ADDRESS]`

use std::thread;

use ws_std::{Error, Server};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let server = Server::new().threads(8..=128).route("/", |_request, mut ws| {
        ws.send(format!("{:?}", thread::current().id()))?;
        while let Some(message) = ws.receive()? {
            ws.feed(message)?;
        }
        Ok(())
    });
    let listener = server.bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    listener.serve()
}
