use ws_smol::Server;

fn main() -> Result<(), ws_smol::Error> {
    let server = Server::new().route("/echo", |_request, mut ws| async move {
        while let Some(message) = ws.receive().await? {
            ws.send(message).await?;
        }
        Ok(())
    });
    smol::block_on(server.listen("127.0.0.1:9101"))
}
