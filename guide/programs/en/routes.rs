use std::thread;

use ws_std::{HandlerResult, Request, Response, Server, WebSocket};

// ANCHOR: handlers
fn chat(request: Request, ws: WebSocket) -> HandlerResult {
    let room = request.parameter("room").unwrap_or_default();
    ws.send(format!("the room {room}"))?;
    Ok(())
}

fn file(request: Request, ws: WebSocket) -> HandlerResult {
    let path = request.parameter("path").unwrap_or_default();
    ws.send(format!("the file {path}"))?;
    Ok(())
}
// ANCHOR_END: handlers

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new()
        .route("/rooms/:room", chat)
        .route("/rooms/lobby", |_request, ws| {
            ws.send("the lobby has a handler of its own")?;
            Ok(())
        })
        .route("/files/*path", file)
        .page("/", |_request| Response::new(200).html("<h1>Hello</h1>"));
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(|| listener.serve());
    for path in ["rooms/caf%C3%A9", "rooms/lobby", "files/2026/report.pdf"] {
        let mut ws = ws_std::connect(&format!("ws://{address}/{path}"))?;
        if let Some(message) = ws.receive()? {
            println!("{message}");
        }
    }
    Ok(())
}
