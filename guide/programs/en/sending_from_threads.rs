use std::thread;

use ws_std::{CloseCode, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new().route("/", |_request, ws| {
        let (sender, mut receiver) = ws.split();
        let ticker = sender.clone();
        let ticks = thread::spawn(move || {
            for number in 1..=3 {
                // Fails when the connection has ended.
                ticker.send(format!("tick {number}"))?;
            }
            Ok::<_, ws_std::Error>(())
        });
        // Receiving has to continue: it handles pings, the Close and the deadlines.
        while let Some(message) = receiver.receive()? {
            sender.send(message)?;
        }
        let _ = ticks.join();
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    let mut ws = ws_std::connect(&url)?;
    ws.send("echo")?;
    let mut received = Vec::new();
    while received.len() < 4 {
        received.push(ws.receive()?.expect("a message").to_string());
    }
    received.sort();
    println!("{}", received.join(", "));
    ws.close(CloseCode::NORMAL_CLOSURE, "")
}
