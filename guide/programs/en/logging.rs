use std::{io, sync::mpsc, thread};

use ws_std::{ConnectionErrorKind, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // ANCHOR: server
    let (logged, log) = mpsc::channel();
    let server = Server::new()
        .on_error(move |error| {
            // One line with the kind, the peer, the path and the reason.
            eprintln!("{error}");
            if error.kind == ConnectionErrorKind::Handler {
                let _ = logged.send(error.error.to_string());
            }
        })
        .route("/", |_request, mut ws| {
            ws.receive()?;
            Err(io::Error::other("the database is down").into())
        });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    let mut ws = ws_std::connect(&url)?;
    ws.send("a query")?;
    if let Err(error) = ws.receive() {
        println!("the client: {error}");
    }
    println!("the server: {}", log.recv()?);
    Ok(())
}
