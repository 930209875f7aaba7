use std::thread;

use ws_std::{Backlog, Callbacks, Overflow, Server, Sessions};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let clients = Sessions::new();
    let backlog = Backlog { messages: 100, overflow: Overflow::DropOldest, ..Backlog::default() };
    let callbacks = Callbacks::new()
        .sessions(&clients)
        .backlog(backlog)
        .on_lagging(|session, dropped| {
            println!("{} is slow: {dropped} messages dropped so far", session.id());
        });
    let server = Server::new().mount("/ticks", callbacks);
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/ticks", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // このクライアントは何も読みません。
    let _client = ws_std::connect(&url)?;
    while clients.is_empty() {
        thread::yield_now();
    }
    let tick = vec![0; 64 * 1024];
    while clients.all()[0].stats().dropped == 0 {
        clients.broadcast(&tick);
    }
    println!("the queue is bounded: {}", clients.all()[0].stats().buffered < 32 * 1024 * 1024);
    Ok(())
}
