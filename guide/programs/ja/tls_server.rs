use ws_std::{Server, ServerTls};

fn main() -> Result<(), ws_std::Error> {
    // PEM ファイル: サーバー証明書から始まる証明書チェーンと、秘密鍵です。
    let tls = ServerTls::from_files("server.pem", "server.key")?;
    let server = Server::new().tls(tls).route("/echo", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    server.listen("127.0.0.1:9105")
}
