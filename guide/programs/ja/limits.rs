use std::thread;

use ws_std::{AdmissionDecision, Client, Error, HandshakeError, Response, Server};

fn main() -> Result<(), Error> {
    // ANCHOR: server
    let server = Server::new()
        .admission_limits(|limits| {
            limits.max_connections = Some(500);
            limits.max_connections_per_address = Some(2);
            limits.max_handshakes = Some(100);
            limits.max_handshake_rate_per_address = Some(50);
        })
        .admission_check(|arrival| match arrival.peer_addr {
            Some(address) if address.ip().is_multicast() => AdmissionDecision::Close,
            _ if arrival.counts.open > 400 => AdmissionDecision::Refuse(Response::new(503)),
            _ => AdmissionDecision::Admit,
        })
        .configure(|config| config.max_message_size = 64 * 1024);
    // ANCHOR_END: server
    let server = server.route("/", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    let _open = [ws_std::connect(&url)?, ws_std::connect(&url)?];
    match Client::new(&url).connect() {
        Err(Error::Handshake(HandshakeError::Refused(response))) => {
            let wait = response.header_value("Retry-After").is_some();
            println!("the third connection: {}, Retry-After: {wait}", response.status());
        }
        other => println!("unexpected: {other:?}"),
    }
    Ok(())
}
