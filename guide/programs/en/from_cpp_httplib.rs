use std::{thread, time::Duration};

use ws_std::{Client, CloseCode, Error, Keepalive, Message, Server};

fn main() -> Result<(), Error> {
    // ANCHOR: server
    let server = Server::new()
        .threads(8..=64)
        .configure(|config| {
            let interval = Duration::from_secs(10);
            config.keepalive = Some(Keepalive { interval, timeout: interval, max_missed: Some(2) });
        })
        .route("/ws", |_request, mut ws| {
            while let Some(message) = ws.receive()? {
                match message {
                    Message::Text(text) => ws.send(format!("echo: {text}"))?,
                    Message::Binary(bytes) => ws.send(&bytes[..])?,
                }
            }
            Ok(())
        });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/ws", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = Client::new(&url)
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Some(Duration::from_secs(5)))
        .connect()?;
    ws.send("Hello")?;
    if let Some(message) = ws.receive()? {
        println!("{message}");
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "")
    // ANCHOR_END: client
}
