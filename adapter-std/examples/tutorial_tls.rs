//! An echo server on `wss://` for clients that send an `Authorization` header.
//!
//! `cargo run --example tutorial_tls -- CERTIFICATE KEY [ADDRESS]`, where both are PEM files

use ws_std::{Accept, Error, HandlerResult, Request, Response, Route, Server, ServerTls, WebSocket};

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(certificate), Some(key)) = (arguments.next(), arguments.next()) else {
        panic!("usage: tutorial_tls CERTIFICATE KEY [ADDRESS]");
    };
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".into());
    let route = Route::new(echo).check(|request| match request.header("Authorization") {
        Some(_) => Ok(Accept::new()),
        None => Err(Response::new(401).header("WWW-Authenticate", "Bearer")),
    });
    let tls = ServerTls::from_files(certificate, key)?;
    let listener = Server::new().mount("/", route).tls(tls).bind(address)?;
    println!("listening on wss://{}", listener.local_addr()?);
    listener.serve()
}

fn echo(_request: Request, mut ws: WebSocket) -> HandlerResult {
    while let Some(message) = ws.receive()? {
        ws.feed(message)?;
    }
    Ok(())
}
