use ws_std::{Client, ClientTls};

fn main() -> Result<(), ws_std::Error> {
    // この行がなければ、OS の認証局を信頼します。
    let tls = ClientTls::new().ca_file("ca.pem");
    let mut ws = Client::new("wss://localhost:9105/echo").tls(tls).connect()?;
    ws.send("Hello, TLS!")?;
    if let Some(message) = ws.receive()? {
        println!("received: {message}");
    }
    Ok(())
}
