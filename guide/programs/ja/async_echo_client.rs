use ws_smol::CloseCode;

fn main() -> Result<(), ws_smol::Error> {
    smol::block_on(async {
        let mut ws = ws_smol::connect("ws://127.0.0.1:9101/echo").await?;
        ws.send("Hello, WebSocket!").await?;
        if let Some(message) = ws.receive().await? {
            println!("received: {message}");
        }
        ws.close(CloseCode::NORMAL_CLOSURE, "bye").await
    })
}
