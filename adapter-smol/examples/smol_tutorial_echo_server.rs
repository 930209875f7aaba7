//! Echoes every message, in ten lines.
//!
//! `cargo run --example smol_tutorial_echo_server -- [ADDRESS]`

use ws_smol::{Error, Server};

fn main() -> Result<(), Error> {
    smol::block_on(run())
}

async fn run() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let server = Server::new().route("/", |_request, mut ws| async move {
        while let Some(message) = ws.receive().await? {
            ws.send(message).await?;
        }
        Ok(())
    });
    let listener = server.bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    listener.serve().await
}
