use std::thread;

use ws_std::{Accept, Client, Error, HandshakeError, Request, Response, Route, Server};

// ANCHOR: check
/// 検査で確認した、接続のユーザーです。
struct User(String);

fn check(request: &Request) -> Result<Accept, Response> {
    let token = request.header("Authorization").and_then(|value| value.strip_prefix("Bearer "));
    match token {
        // 実際のサーバーでは、ここでトークンを照合します。
        Some("secret of alice") => Ok(Accept::new().with(User("alice".into()))),
        _ => Err(Response::new(401).header("WWW-Authenticate", "Bearer").text("no valid token\n")),
    }
}
// ANCHOR_END: check

fn main() -> Result<(), Error> {
    // ANCHOR: server
    let route = Route::new(|request, ws| {
        if let Some(User(name)) = request.get() {
            ws.send(format!("hello, {name}"))?;
        }
        Ok(())
    });
    let server = Server::new().mount("/", route.check(check));
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = Client::new(&url).header("Authorization", "Bearer secret of alice").connect()?;
    if let Some(message) = ws.receive()? {
        println!("{message}");
    }
    match ws_std::connect(&url) {
        Err(Error::Handshake(HandshakeError::Refused(response))) => {
            println!("refused with status {}", response.status());
        }
        other => println!("unexpected: {other:?}"),
    }
    // ANCHOR_END: client
    Ok(())
}
