use std::thread;

use ws_std::{Message, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new().route("/", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            match message {
                Message::Text(text) => ws.send(text.to_uppercase())?,
                Message::Binary(bytes) => {
                    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
                    ws.send(reversed)?;
                }
            }
        }
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = ws_std::connect(&url)?;
    // `&str` や `String` はテキスト、バイト列はバイナリとして送られます。
    ws.send("text")?;
    ws.send(&[1, 2, 3])?;
    for _ in 0..2 {
        match ws.receive()? {
            Some(Message::Text(text)) => println!("text: {text}"),
            Some(Message::Binary(bytes)) => println!("binary: {} bytes", bytes.len()),
            None => println!("the server closed the connection"),
        }
    }
    // ANCHOR_END: client
    Ok(())
}
