//! Echoes every message, in ten lines.
//!
//! `cargo run --example tutorial_echo_server -- [ADDRESS]`

use ws_std::{Error, Server};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let server = Server::new().route("/", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    let listener = server.bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    listener.serve()
}
