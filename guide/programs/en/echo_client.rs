use ws_std::CloseCode;

fn main() -> Result<(), ws_std::Error> {
    let mut ws = ws_std::connect("ws://127.0.0.1:9100/echo")?;
    ws.send("Hello, WebSocket!")?;
    if let Some(message) = ws.receive()? {
        println!("received: {message}");
    }
    // Sends Close, waits for the answer of the server, and closes the stream.
    ws.close(CloseCode::NORMAL_CLOSURE, "bye")
}
