use std::thread;

use ws_std::{CloseCode, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new().route("/", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    let metrics = server.monitor();
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let handle = listener.handle();
    let serving = thread::spawn(|| listener.serve());
    let mut ws = ws_std::connect(&url)?;
    ws.send("Hello")?;
    ws.receive()?;
    ws.close(CloseCode::NORMAL_CLOSURE, "")?;
    let _ = ws_std::connect(&format!("{url}unknown"));
    handle.stop(std::time::Duration::from_secs(5));
    let _ = serving.join();
    // ANCHOR: stats
    let stats = metrics.stats();
    println!("{} connections opened, {} requests refused", stats.accepted, stats.refused);
    println!("{} messages in", stats.sessions.sum.messages_received);
    println!("{} payload bytes out", stats.sessions.sum.bytes_sent);
    // ANCHOR_END: stats
    Ok(())
}
