use std::{sync::mpsc, thread, time::Duration};

use ws_std::{Callbacks, Client, Server, Sessions};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let sessions = Sessions::new();
    let broadcast = sessions.clone();
    let callbacks = Callbacks::new()
        .sessions(&sessions)
        .on_connect(|session| println!("client {} connected", session.id()))
        .on_message(move |session, message| {
            broadcast.broadcast(format!("{}: {message}", session.id()));
        })
        .on_disconnect(|session, close_info| println!("client {} left: {close_info}", session.id()))
        .on_error(|session, error| eprintln!("client {}: {error}", session.id()));
    let listener = Server::new().mount("/ws", callbacks).bind("127.0.0.1:0")?;
    let handle = listener.handle();
    // ANCHOR_END: server
    let url = format!("ws://{}/ws", listener.local_addr()?);
    let serving = thread::spawn(|| listener.serve());
    // ANCHOR: client
    let (received, messages) = mpsc::channel();
    let callbacks = Callbacks::new().on_message(move |_session, message| {
        let _ = received.send(message.to_string());
    });
    let client = Client::new(&url).start(callbacks)?;
    client.session().send("Hello")?;
    // ANCHOR_END: client
    println!("{}", messages.recv_timeout(Duration::from_secs(5)).expect("a message"));
    client.stop(Duration::from_secs(5));
    handle.stop(Duration::from_secs(5));
    let _ = serving.join();
    Ok(())
}
