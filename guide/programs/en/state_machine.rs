use std::sync::Arc;

use bytes::Buf;
use ws_core::{
    Config, Event, HandshakeConfig, OriginPolicy, Timestamp,
    server::{Accept, Handshake},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut input = b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    // A masked text frame with the text "Hello" (RFC 6455 section 5.7).
    input.extend([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    let mut input = &mut input[..];

    // The opening handshake: received bytes in, a request out.
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let request = handshake.receive(&mut input)?.ok_or("the head is not complete")?;
    println!("request for {}", request.path());
    let upgrade = request.upgrade(&OriginPolicy::SameHost)?;
    let mut connection = upgrade.accept(&Accept::new(), Arc::new(Config::default()), Timestamp::ZERO)?;

    // The connection: received bytes in, messages out.
    while let Some(event) = connection.receive(&mut input)? {
        if let Event::Message(message) = event {
            println!("received: {message}");
            connection.reply(message)?;
        }
    }

    // The bytes to write: the response with status 101, and the answer as a frame.
    let mut output = connection.transmit();
    let response = output.copy_to_bytes(output.remaining());
    println!("{}", String::from_utf8_lossy(&response).lines().next().unwrap_or_default());
    println!("the frame: {:02x?}", &response[response.len() - 7..]);
    Ok(())
}
