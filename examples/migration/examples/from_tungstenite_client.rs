//! The client among tungstenite's examples.

use std::env;

use ws_std::Client;

fn main() {
    let url = env::args().nth(1).unwrap_or_else(|| "ws://localhost:3012/socket".to_owned());
    let (mut socket, response) = Client::new(&url).connect_with_response().expect("Can't connect");

    println!("Connected to the server");
    println!("Response HTTP code: {}", response.status());
    println!("Response contains the following headers:");
    for (header, _value) in response.headers().iter() {
        println!("* {header}");
    }

    socket.send("Hello WebSocket").unwrap();
    while let Some(msg) = socket.receive().expect("Error reading message") {
        println!("Received: {msg}");
    }
}
