use std::thread;

use ws_std::{CloseCode, Server};

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: server
    let server = Server::new().route("/", |_request, ws| {
        let (sender, mut receiver) = ws.split();
        let ticker = sender.clone();
        let ticks = thread::spawn(move || {
            for number in 1..=3 {
                // 接続が終わっていればエラーになります。
                ticker.send(format!("tick {number}"))?;
            }
            Ok::<_, ws_std::Error>(())
        });
        // 受信は続ける必要があります。ping、Close、期限はここで処理されます。
        while let Some(message) = receiver.receive()? {
            sender.send(message)?;
        }
        let _ = ticks.join();
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    let mut ws = ws_std::connect(&url)?;
    ws.send("echo")?;
    let mut received = Vec::new();
    while received.len() < 4 {
        received.push(ws.receive()?.expect("a message").to_string());
    }
    received.sort();
    println!("{}", received.join(", "));
    ws.close(CloseCode::NORMAL_CLOSURE, "")
}
