use std::thread;

use ws_std::{Client, Server, testing};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // ANCHOR: handler
    // 接続済みの 1 組のストリームです。アドレスもポートも使いません。
    let (client, stream) = testing::duplex()?;
    let server = Server::new().route("/", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(format!("you said: {message}"))?;
        }
        Ok(())
    });
    let server = server.for_streams()?;
    let serving = thread::spawn(move || server.serve(stream));

    let mut ws = Client::new("ws://localhost/").connect_over(client)?;
    ws.send("hello")?;
    assert_eq!(ws.receive()?.expect("a message"), "you said: hello");
    ws.close(ws_std::CloseCode::NORMAL_CLOSURE, "")?;
    // ANCHOR_END: handler
    let _ = serving.join();
    println!("passed");
    Ok(())
}
