use std::{fs, thread};

use ws_std::{Client, ClientTls, Server, ServerTls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // ANCHOR: server
    let tls = ServerTls::from_files("server.pem", "server.key")?
        // Clients without a certificate of this authority are refused.
        .require_clients_from(&fs::read("clients-ca.pem")?);
    let server = Server::new().tls(tls).route("/", |_request, ws| {
        ws.send("welcome")?;
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("wss://localhost:{}/", listener.local_addr()?.port());
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let tls = ClientTls::new().ca_file("ca.pem").certificate_files("client.pem", "client.key");
    let mut ws = Client::new(&url).tls(tls).connect()?;
    // ANCHOR_END: client
    println!("{}", ws.receive()?.expect("a message"));
    let anonymous = ClientTls::new().ca_file("ca.pem");
    let refused = Client::new(&url).tls(anonymous).connect().and_then(|mut ws| ws.receive());
    println!("without a certificate: {}", if refused.is_err() { "refused" } else { "accepted" });
    Ok(())
}
