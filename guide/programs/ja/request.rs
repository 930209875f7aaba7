use std::thread;

use ws_std::{Client, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new().route("/rooms/:room", |request, ws| {
        let room = request.parameter("room").unwrap_or_default();
        let agent = request.header("User-Agent").unwrap_or("an unknown client");
        ws.send(format!("{agent} entered {room}"))?;
        ws.send(format!("path {}, query {:?}", request.path(), request.query()))?;
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/rooms/lobby?lang=en", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = Client::new(&url).header("User-Agent", "tour/1.0").connect()?;
    while let Some(message) = ws.receive()? {
        println!("{message}");
    }
    // ANCHOR_END: client
    Ok(())
}
