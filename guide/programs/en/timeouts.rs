use std::{thread, time::Duration};

use ws_std::{Client, Error, Server, TimeoutKind};

fn main() -> Result<(), Error> {
    // ANCHOR: server
    let server = Server::new()
        // From the first byte to the response.
        .configure_handshake(|handshake| handshake.open_timeout = Some(Duration::from_secs(3)))
        // `receive` in a handler.
        .read_timeout(Some(Duration::from_secs(60)))
        // A pause in which the client does not read.
        .write_timeout(Some(Duration::from_secs(10)))
        // Each phase of closing.
        .configure(|config| config.close_timeout = Duration::from_secs(2));
    // ANCHOR_END: server
    let server = server.route("/", |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = Client::new(&url)
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Some(Duration::from_millis(100)))
        .connect()?;
    loop {
        match ws.receive() {
            Ok(Some(message)) => {
                println!("received: {message}");
                return Ok(());
            }
            Ok(None) => return Ok(()),
            // A read timeout leaves the connection as it was.
            Err(Error::Timeout(TimeoutKind::Read)) => {
                println!("nothing for 100 ms, asking");
                ws.send("are you there?")?;
            }
            Err(error) => return Err(error),
        }
    }
    // ANCHOR_END: client
}
