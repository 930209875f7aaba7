use std::thread;

use ws_std::{Callbacks, PreparedMessage, Server, Sessions};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let clients = Sessions::new();
    let callbacks = Callbacks::new().sessions(&clients);
    let listener = Server::new().mount("/prices", callbacks).bind("127.0.0.1:0")?;
    let url = format!("ws://{}/prices", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR_END: server
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(ws_std::connect(&url)?);
    }
    // The sessions appear when the server has accepted the connections.
    while clients.len() < 3 {
        thread::yield_now();
    }
    // ANCHOR: broadcast
    // Any thread can broadcast.
    let reached = clients.broadcast("gold 4012.50");
    println!("sent to {reached} clients");

    // A message that is sent several times is encoded once.
    let heartbeat = PreparedMessage::new("tick");
    clients.broadcast_prepared(&heartbeat);

    // To some of the clients.
    let oldest = clients.all()[0].id();
    clients.broadcast_except(oldest, "for all but the oldest");
    clients.broadcast_where("for the oldest", |session| session.id() == oldest);
    // ANCHOR_END: broadcast
    for reader in &mut readers {
        let messages = [reader.receive()?, reader.receive()?, reader.receive()?];
        println!("{}", messages.map(|message| message.map_or_else(String::new, |m| m.to_string())).join(", "));
    }
    Ok(())
}
