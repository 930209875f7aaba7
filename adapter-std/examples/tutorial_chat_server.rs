//! A chat server with callbacks: broadcasts each message to all clients, and prints joins and leaves.
//!
//! `cargo run --example tutorial_chat_server -- [ADDRESS]`

use ws_std::{Callbacks, Error, Server, Sessions};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let everyone = Sessions::new();
    let (come, go, talk) = (everyone.clone(), everyone.clone(), everyone.clone());
    let chat = Callbacks::new()
        .sessions(&everyone)
        .on_connect(move |session| println!("{} joined, {} online", session.id(), come.len()))
        .on_disconnect(move |session, _closure| println!("{} left, {} online", session.id(), go.len()))
        .on_message(move |session, message| {
            talk.broadcast(format!("{}: {message}", session.id()));
        });
    let listener = Server::new().mount("/chat", chat).bind(address)?;
    println!("listening on ws://{}/chat", listener.local_addr()?);
    listener.serve()
}
