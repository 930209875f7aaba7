use std::thread;

use ws_std::{Client, Route, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let route = Route::new(|_request, ws| {
        match ws.subprotocol().as_deref() {
            Some("chat.v2") => ws.send("version 2")?,
            Some("chat.v1") => ws.send("version 1")?,
            _ => ws.send("no subprotocol")?,
        }
        Ok(())
    });
    // 優先する順に並べます。
    let server = Server::new().mount("/", route.subprotocols(["chat.v2", "chat.v1"]));
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = Client::new(&url).subprotocol("chat.v1").subprotocol("chat.v2").connect()?;
    println!("negotiated: {:?}", ws.subprotocol());
    // ANCHOR_END: client
    if let Some(message) = ws.receive()? {
        println!("{message}");
    }
    Ok(())
}
