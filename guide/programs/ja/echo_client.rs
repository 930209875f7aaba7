use ws_std::CloseCode;

fn main() -> Result<(), ws_std::Error> {
    let mut ws = ws_std::connect("ws://127.0.0.1:9100/echo")?;
    ws.send("Hello, WebSocket!")?;
    if let Some(message) = ws.receive()? {
        println!("received: {message}");
    }
    // Close を送り、サーバーの応答を待ってから、ストリームを閉じます。
    ws.close(CloseCode::NORMAL_CLOSURE, "bye")
}
