use std::{net::SocketAddr, thread, time::Duration};

use ws_std::{Client, Error, Response, Server};

fn main() -> Result<(), Error> {
    let moved = Server::new().route("/new", |_request, ws| {
        ws.send("you have found the new place")?;
        Ok(())
    });
    let listener = moved.bind("127.0.0.1:0")?;
    let new_port = listener.local_addr()?.port();
    thread::spawn(|| listener.serve());
    let location = format!("ws://example.test:{new_port}/new");
    let old = Server::new().mount(
        "/old",
        ws_std::Route::new(|_request, _ws| Ok(()))
            .check(move |_request| Err(Response::new(307).header("Location", &location))),
    );
    let listener = old.bind("127.0.0.1:0")?;
    let old_port = listener.local_addr()?.port();
    thread::spawn(|| listener.serve());
    let url = format!("ws://example.test:{old_port}/old");
    // ANCHOR: client
    let client = Client::new(&url)
        // Instead of asking the name server, like `curl --resolve`.
        .resolve("example.test", SocketAddr::from(([127, 0, 0, 1], 0)))
        // At most three redirects. Without this line, a redirect is an error.
        .max_redirects(3)
        .configure_connect(|connect| {
            connect.resolve_timeout = Some(Duration::from_secs(2));
            connect.connect_timeout = Some(Duration::from_secs(5));
            connect.total_timeout = Some(Duration::from_secs(20));
        });
    let mut ws = client.connect()?;
    // ANCHOR_END: client
    if let Some(message) = ws.receive()? {
        println!("{message}");
    }
    Ok(())
}
