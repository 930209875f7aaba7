//! `nexus-web`, blocking, a thread for each connection: `nexus_web [--listen ADDR] [--feed]`
//!
//! By default it uses `Client`, which is also the type for servers. With `--feed` it uses the reader and the writer
//! without sockets, where the caller decides when to write: all replies to one read are written together.
//!
//! Version 0.8 does not validate the UTF-8 of a text frame that arrives in several reads.

use std::{io::Write as _, net::TcpStream};

use nexus_web::ws::{ClientBuilder, FrameReader, FrameWriter, Message, OwnedMessage, Role};
use ws_bench_peers::{Error, LIMIT, Options, on_threads};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed"])?;
    let feed = options.feed;
    Ok(on_threads(&options, "ws", move |stream| if feed { feeding(stream) } else { sending(stream) })?)
}

fn sending(stream: TcpStream) -> Result<(), Error> {
    let builder = ClientBuilder::new().max_frame_size(LIMIT as u64).max_message_size(LIMIT);
    // It panics on a message that does not fit.
    let mut ws = builder.write_buffer_capacity(LIMIT + 64).accept(stream)?;
    // A received message borrows from the sending half and has to be copied.
    while let Some(message) = ws.recv()?.map(Message::into_owned) {
        match message {
            OwnedMessage::Text(text) => ws.send_text(&text)?,
            OwnedMessage::Binary(bytes) => ws.send_binary(&bytes)?,
            OwnedMessage::Ping(bytes) => ws.send_pong(&bytes)?,
            OwnedMessage::Pong(_) => {}
            OwnedMessage::Close(_) => break,
        }
    }
    Ok(())
}

fn feeding(mut stream: TcpStream) -> Result<(), Error> {
    // A client sends no messages before it has the response, so no bytes are lost with the dropped buffer.
    drop(ClientBuilder::new().accept(&stream)?);
    let reader = FrameReader::builder().max_frame_size(LIMIT as u64).max_message_size(LIMIT);
    let (mut reader, mut writer) = (reader.role(Role::Server).build(), FrameWriter::new(Role::Server));
    let mut output = Vec::new();
    while reader.read_from(&mut stream)? > 0 {
        let mut used = 0;
        while let Some(message) = reader.next()? {
            let payload = message.as_bytes();
            output.resize(output.len().max(used + writer.max_encoded_len(payload.len())), 0);
            let room = &mut output[used..];
            used += match message {
                Message::Text(text) => writer.encode_text(text.as_bytes(), room),
                Message::Binary(bytes) => writer.encode_binary(bytes, room),
                Message::Ping(bytes) => writer.encode_pong(bytes, room)?,
                Message::Pong(_) => 0,
                Message::Close(_) => return Ok(()),
            };
        }
        stream.write_all(&output[..used])?;
    }
    Ok(())
}
