//! A client and a server communicate over two byte vectors, with a virtual clock.
//!
//! `cargo run --example transcript`

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Buf;
use ws_core::{
    Chunk, CloseCode, Config, Connection, Event, HandshakeConfig, OriginPolicy, Timestamp, Url, client,
    frame::Header,
    server::{self, Accept},
};

/// Time that bytes spend in transit.
const DELAY: Duration = Duration::from_millis(15);

fn main() -> Result<(), Box<dyn Error>> {
    let mut now = Timestamp::ZERO;
    let config = Arc::new(Config::default());
    let (client, server) = open(&config, now)?;
    let mut ends = [End::new("client", client), End::new("server", server)];

    ends[0].connection.send("Hello, WebSocket!")?;
    exchange(&mut ends, &mut now)?;

    ends[1].connection.send_chunk(Chunk::new("A message "))?;
    ends[1].connection.ping(b"in between")?;
    ends[1].connection.send_chunk(Chunk::last("in two fragments"))?;
    exchange(&mut ends, &mut now)?;

    // Neither end sends for a while, so both ends send keepalive pings.
    now = ends.iter().filter_map(|end| end.connection.poll_timeout()).min().unwrap_or(now);
    exchange(&mut ends, &mut now)?;
    for end in &ends {
        println!("{}: a ping takes {:?}", end.name, end.connection.latency().unwrap_or_default());
    }

    ends[0].connection.close(CloseCode::NORMAL_CLOSURE, "bye")?;
    exchange(&mut ends, &mut now)?;
    // The server closes the stream first, and the client has waited for that.
    assert!(ends[1].connection.is_finished());
    ends[0].connection.receive_eof();
    println!();
    for end in &ends {
        assert!(end.connection.is_finished());
        if let Some(close_info) = end.connection.close_info() {
            println!("{}: {close_info}", end.name);
        }
    }
    Ok(())
}

struct End {
    name: &'static str,
    connection: Connection,
}

impl End {
    const fn new(name: &'static str, connection: Connection) -> Self {
        Self { name, connection }
    }

    /// Returns the bytes that a write would send.
    fn written(&mut self) -> Vec<u8> {
        let mut output = self.connection.transmit();
        let bytes = output.copy_to_bytes(output.remaining());
        bytes.to_vec()
    }
}

/// Lets both sides of the opening handshake proceed.
fn open(config: &Arc<Config>, now: Timestamp) -> Result<(Connection, Connection), Box<dyn Error>> {
    let url: Url = "ws://server.example/chat".parse()?;
    let request = client::Request::new(url).subprotocol("transcript");
    // A fixed seed, so that the transcript is always the same. A real seed comes from the operating system.
    let mut client =
        client::Handshake::new(&request, &HandshakeConfig::default(), config.clone(), [7; 32], now)?;
    let mut server = server::Handshake::new(&HandshakeConfig::default(), now);

    let mut output = client.transmit();
    let mut sent = output.copy_to_bytes(output.remaining()).to_vec();
    drop(output);
    print_head("client", &sent);
    let request = server.receive(&mut &mut sent[..])?.ok_or("the request is incomplete")?;
    let accept = Accept::new().subprotocol("transcript");
    let mut server =
        End::new("server", request.upgrade(&OriginPolicy::default())?.accept(&accept, config.clone(), now)?);

    let mut sent = server.written();
    print_head("server", &sent);
    let (client, _response) = client.receive(&mut &mut sent[..])?.ok_or("the response is incomplete")?;
    Ok((client, server.connection))
}

/// Moves bytes in both directions until neither end has more to send.
fn exchange(ends: &mut [End; 2], now: &mut Timestamp) -> Result<(), Box<dyn Error>> {
    println!();
    for end in ends.iter_mut() {
        end.connection.handle_timeout(*now);
    }
    while ends.iter().any(|end| end.connection.wants_write()) {
        let mut written = ends.each_mut().map(End::written);
        for (end, bytes) in ends.iter().zip(&written) {
            print_frames(*now, end.name, bytes)?;
        }
        *now = *now + DELAY;
        written.swap(0, 1);
        for (end, bytes) in ends.iter_mut().zip(&mut written) {
            let mut input = &mut bytes[..];
            while let Some(event) = end.connection.receive(&mut input)? {
                print_event(*now, end.name, &event);
            }
            end.connection.handle_timeout(*now);
        }
    }
    Ok(())
}

fn print_head(name: &str, head: &[u8]) {
    println!("{name} sends");
    for line in String::from_utf8_lossy(head).trim_end().lines() {
        println!("    {line}");
    }
}

fn print_frames(now: Timestamp, name: &str, mut bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    while let Some((header, len)) = Header::decode(bytes)? {
        let payload_len = usize::try_from(header.payload_len)?;
        let fin = if header.fin { "" } else { ", to be continued" };
        let masked = if header.masking_key.is_some() { "masked, " } else { "" };
        println!("{} {name} > {:?}, {masked}{payload_len} bytes{fin}", millis(now), header.opcode);
        bytes = &bytes[len + payload_len..];
    }
    Ok(())
}

fn print_event(now: Timestamp, name: &str, event: &Event<'_>) {
    let what = match event {
        Event::Message(message) => format!("message {message:?}"),
        Event::Ping(payload) => format!("ping, {} bytes", payload.len()),
        Event::Pong(payload) => format!("pong, {} bytes", payload.len()),
        Event::Close(Some(frame)) => format!("close {frame}"),
        other => format!("{other:?}"),
    };
    println!("{} {name} < {what}", millis(now));
}

fn millis(now: Timestamp) -> String {
    format!("{:>9} ms", Duration::from(now).as_millis())
}
