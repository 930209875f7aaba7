use ws_std::Server;

fn main() -> Result<(), ws_std::Error> {
    let server = Server::new().route("/echo", |_request, mut ws| {
        // `None` は正常な終了を表します。
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    server.listen("127.0.0.1:9100")
}
