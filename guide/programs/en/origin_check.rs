use std::thread;

use ws_std::{Client, OriginPolicy, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let origins = ["https://example.com", "https://app.example.com"];
    let policy = OriginPolicy::OneOf(origins.map(String::from).to_vec());
    let server = Server::new().origin(policy).route("/", |_request, ws| {
        ws.send("welcome")?;
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    for origin in ["https://example.com", "https://evil.example"] {
        match Client::new(&url).header("Origin", origin).connect() {
            Ok(_) => println!("{origin}: accepted"),
            Err(error) => println!("{origin}: {error}"),
        }
    }
    Ok(())
}
