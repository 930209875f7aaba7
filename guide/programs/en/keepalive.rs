use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc,
    thread,
    time::Duration,
};

use ws_std::{Callbacks, Keepalive, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // ANCHOR: server
    let (ended, end) = mpsc::channel();
    let keepalive = Keepalive {
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        max_missed: Some(2),
    };
    let callbacks = Callbacks::new().on_disconnect(move |session, close_info| {
        let _ = ended.send(format!("{} is gone: {close_info}", session.id()));
    });
    let server =
        Server::new().configure(|config| config.keepalive = Some(keepalive)).mount("/", callbacks);
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(|| listener.serve());
    // A client that opens a WebSocket and then never answers.
    let mut client = TcpStream::connect(address)?;
    client.write_all(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )?;
    let _ = client.read(&mut [0; 1024])?;
    println!("{}", end.recv()?);
    Ok(())
}
