use std::thread;

use ws_std::{CloseCode, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new().threads(8..=128).route("/", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    let mut ws = ws_std::connect(&url)?;
    ws.send("echo")?;
    println!("{}", ws.receive()?.expect("a message"));
    ws.close(CloseCode::NORMAL_CLOSURE, "")
}
