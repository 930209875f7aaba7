//! Refuses clients without an `Authorization` header. The route `/` answers with 401 before the WebSocket opens,
//! which costs least and which every HTTP client understands. The route `/late` closes the open WebSocket with 1008.
//!
//! `cargo run --example authorization -- [ADDRESS]`

use ws_std::{Accept, CloseCode, Error, HandlerResult, Request, Response, Route, Server, WebSocket};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let early = Route::new(welcome).check(|request| match request.header("Authorization") {
        Some(_) => Ok(Accept::new()),
        None => Err(Response::new(401).header("WWW-Authenticate", "Bearer").text("unauthorized\n")),
    });
    let listener = Server::new().mount("/", early).route("/late", late).bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    listener.serve()
}

fn late(request: Request, mut ws: WebSocket) -> HandlerResult {
    if request.header("Authorization").is_none() {
        return Ok(ws.close(CloseCode::POLICY_VIOLATION, "unauthorized")?);
    }
    welcome(request, ws)
}

fn welcome(_request: Request, mut ws: WebSocket) -> HandlerResult {
    ws.send("welcome")?;
    while ws.receive()?.is_some() {}
    Ok(())
}
