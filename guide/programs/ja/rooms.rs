use std::thread;

use ws_std::{Callbacks, Rooms, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let rooms = Rooms::new();
    let (for_connects, for_messages) = (rooms.clone(), rooms.clone());
    let callbacks = Callbacks::new()
        .on_connect(move |session| {
            let name = session.parameter("room").unwrap_or("lobby");
            let room = for_connects.join(name, session);
            room.broadcast(format!("{} in {name}", room.len()));
        })
        .on_message(move |session, message| {
            let name = session.parameter("room").unwrap_or("lobby");
            if let Some(room) = for_messages.get(name) {
                room.broadcast_except(session.id(), message);
            }
        });
    let server = Server::new().mount("/rooms/:room", callbacks);
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(|| listener.serve());
    let mut alice = ws_std::connect(&format!("ws://{address}/rooms/rust"))?;
    println!("alice: {}", alice.receive()?.expect("a message"));
    let mut bob = ws_std::connect(&format!("ws://{address}/rooms/rust"))?;
    println!("bob: {}", bob.receive()?.expect("a message"));
    println!("alice: {}", alice.receive()?.expect("a message"));
    bob.send("hello, alice")?;
    println!("alice: {}", alice.receive()?.expect("a message"));
    let mut names: Vec<_> = rooms.all().into_iter().map(|(name, room)| (name, room.len())).collect();
    names.sort();
    println!("{names:?}");
    Ok(())
}
