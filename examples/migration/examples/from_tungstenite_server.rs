//! The echo server of tungstenite's README.

use std::{env, net::TcpListener, thread::spawn};

use ws_std::accept;

fn main() {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let server = TcpListener::bind(address).unwrap();
    for stream in server.incoming() {
        spawn(move || {
            let mut websocket = accept(stream.unwrap()).unwrap();
            // It returns messages only. It answers pings by itself, and returns `None` after a normal close.
            while let Some(msg) = websocket.receive().unwrap() {
                websocket.send(msg).unwrap();
            }
        });
    }
}
