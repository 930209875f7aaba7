//! The driver in `select!`, which drops its futures at any point.

use std::{
    io::Read as _, io::Write as _, net::TcpListener, net::TcpStream, sync::Arc, thread, time::Duration,
};

use bytes::Buf as _;
use tokio::{select, task::yield_now, time::timeout};
use ws_core::{CloseCode, Config, Connection, Event, Timestamp};
use ws_example_tokio::WebSocket;

const MESSAGES: usize = 200;

/// Returns all bytes that a connection wants to write.
fn output(connection: &mut Connection) -> Vec<u8> {
    let mut output = connection.transmit();
    output.copy_to_bytes(output.remaining()).to_vec()
}

/// Sends numbered messages in pieces of three bytes, and closes. Returns the answers.
fn talk(mut stream: TcpStream) -> Vec<String> {
    stream.set_nodelay(true).unwrap();
    let mut client = Connection::client(Arc::new(Config::default()), [7; 32], Timestamp::ZERO);
    for number in 0..MESSAGES {
        client.send(format!("message {number}")).unwrap();
    }
    client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    for piece in output(&mut client).chunks(3) {
        stream.write_all(piece).unwrap();
    }
    let mut answers = Vec::new();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    let mut input = &mut received[..];
    while let Some(event) = client.receive(&mut input).unwrap() {
        if let Event::Message(message) = event {
            answers.push(message.to_string());
        }
    }
    answers
}

#[tokio::test]
async fn no_message_is_lost_when_receive_is_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || talk(TcpStream::connect(address).unwrap()));
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let connection = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    let mut ws = WebSocket::new(stream, connection, (vec![0; 64], 0..0));
    let mut dropped = 0;
    let serving = async {
        loop {
            select! {
                biased;
                message = ws.receive() => match message {
                    Some(message) => ws.connection.reply(message).unwrap(),
                    None => return,
                },
                () = yield_now() => dropped += 1,
            }
        }
    };
    timeout(Duration::from_secs(60), serving).await.unwrap();
    assert!(dropped > 0);
    drop(ws);
    let expected: Vec<_> = (0..MESSAGES).map(|number| format!("message {number}")).collect();
    assert_eq!(client.join().unwrap(), expected);
}
