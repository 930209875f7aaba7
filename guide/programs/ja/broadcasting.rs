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
    // サーバーが接続を受け入れると、セッションが現れます。
    while clients.len() < 3 {
        thread::yield_now();
    }
    // ANCHOR: broadcast
    // どのスレッドからでもブロードキャストできます。
    let reached = clients.broadcast("gold 4012.50");
    println!("sent to {reached} clients");

    // 何度も送るメッセージのエンコードは 1 回で済みます。
    let heartbeat = PreparedMessage::new("tick");
    clients.broadcast_prepared(&heartbeat);

    // 一部のクライアントに送ります。
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
