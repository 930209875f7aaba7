use std::thread;

use ws_std::{Client, Deflate, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new().configure(|config| config.deflate = Some(Deflate::default()));
    // ANCHOR_END: server
    let server = server.route("/", |_request, ws| {
        // ANCHOR: switch
        ws.send("a long text ".repeat(1000))?;
        // 相手の文字列と並ぶ秘密情報は、圧縮してはいけません。
        ws.set_compression(false);
        ws.send("the secret of this session")?;
        // ANCHOR_END: switch
        Ok(())
    });
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let client = Client::new(&url).configure(|config| config.deflate = Some(Deflate::default()));
    let (mut ws, response) = client.connect_with_response()?;
    println!("negotiated: {:?}", response.header_value("Sec-WebSocket-Extensions").is_some());
    // ANCHOR_END: client
    while let Some(message) = ws.receive()? {
        println!("{} characters", message.len());
    }
    Ok(())
}
