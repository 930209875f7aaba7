use std::{thread, time::Duration};

use ws_std::{CloseCode, Error, HandlerResult, Request, Server, WebSocket};

// ANCHOR: handler
fn handler(_request: Request, mut ws: WebSocket) -> HandlerResult {
    // A client that sends no token in time must not hold its connection.
    ws.set_read_timeout(Some(Duration::from_secs(5)));
    match ws.receive()? {
        Some(token) if token == "secret of alice" => ws.set_read_timeout(None),
        _ => return Ok(ws.close(CloseCode::POLICY_VIOLATION, "no valid token")?),
    }
    ws.send("hello, alice")?;
    while let Some(message) = ws.receive()? {
        ws.send(message)?;
    }
    Ok(())
}
// ANCHOR_END: handler

fn main() -> Result<(), Error> {
    let listener = Server::new().route("/", handler).bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    for token in ["secret of alice", "a guess"] {
        let mut ws = ws_std::connect(&url)?;
        ws.send(token)?;
        match ws.receive() {
            Ok(Some(message)) => println!("{message}"),
            Ok(None) => println!("closed normally"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
