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
    // マスクされたテキストフレーム「Hello」です (RFC 6455 5.7 節)。
    input.extend([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    let mut input = &mut input[..];

    // 開始ハンドシェイク: 受信したバイト列からリクエストを得ます。
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let request = handshake.receive(&mut input)?.ok_or("the head is not complete")?;
    println!("request for {}", request.path());
    let upgrade = request.upgrade(&OriginPolicy::SameHost)?;
    let mut connection = upgrade.accept(&Accept::new(), Arc::new(Config::default()), Timestamp::ZERO)?;

    // 接続: 受信したバイト列からメッセージを得ます。
    while let Some(event) = connection.receive(&mut input)? {
        if let Event::Message(message) = event {
            println!("received: {message}");
            connection.reply(message)?;
        }
    }

    // 書き込むバイト列: 101 のレスポンスと、応答のフレームです。
    let mut output = connection.transmit();
    let response = output.copy_to_bytes(output.remaining());
    println!("{}", String::from_utf8_lossy(&response).lines().next().unwrap_or_default());
    println!("the frame: {:02x?}", &response[response.len() - 7..]);
    Ok(())
}
