//! Broadcasts each message to all clients with the sessions of `ws-smol`. `smol_broadcast [--listen ADDRESS]`

use std::error::Error;

use ws_smol::{Callbacks, Server, Sessions};

fn main() -> Result<(), Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut listen = String::from("127.0.0.1:0");
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => listen = parser.value()?.string()?,
            other => return Err(other.unexpected().into()),
        }
    }
    let everyone = Sessions::new();
    let callbacks = Callbacks::new().sessions(&everyone).on_message(move |_, message| {
        everyone.broadcast(message);
    });
    let listener = Server::new()
        .mount("/", callbacks)
        .configure(|config| config.max_message_size = 64 << 20)
        .bind(&*listen)?;
    println!("listening on ws://{}/", listener.local_addr()?);
    Ok(smol::block_on(listener.serve())?)
}
