//! Cancel safety of ws-smol: futures that are dropped after every poll, over a deliberately difficult stream.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_core::Stream as _;
use futures_sink::Sink;
use smol::{block_on, future::zip};
use ws_smol::{
    Chunk, Clock, CloseCode, Config, Delivery, Error, HandshakeConfig, Message, OriginPolicy, SendError,
    WebSocket,
    ws_core::{
        Connection,
        client::Request,
        server::{Accept, Handshake},
    },
};
use ws_tests::{
    bounded,
    pipe::{Pipe, pipe},
};

/// Returns a client and a server over a pipe.
fn pair((one, other): (Pipe, Pipe), change: impl Fn(&mut Config)) -> (WebSocket, WebSocket) {
    let mut config = Config::default();
    config.keepalive = None;
    change(&mut config);
    let (config, clock) = (Arc::new(config), Clock::start());
    let client = Connection::client(config.clone(), [7; 32], clock.now());
    let server = Connection::server(config, clock.now());
    (WebSocket::from_upgraded(one, client, clock, []), WebSocket::from_upgraded(other, server, clock, []))
}

/// Polls a new future once and drops it.
fn try_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn messages(sizes: &[usize]) -> Vec<Message<'static>> {
    let text = |size| (0..size).map(|at| ['a', 'ß', '語'][at % 3]).collect::<String>().into();
    let binary = |size| (0..size).map(|at| (at % 253) as u8).collect::<Vec<_>>().into();
    sizes.iter().flat_map(|&size| [text(size / 2), binary(size)]).collect()
}

/// A sender that polls each of its futures once.
struct Sending {
    messages: Vec<Message<'static>>,
    next: usize,
}

impl Sending {
    /// Checks that a message is queued exactly when its future is ready.
    fn turn(&mut self, ws: &WebSocket) {
        if let Some(message) = self.messages.get(self.next)
            && let Some(fed) = try_once(ws.feed(message))
        {
            fed.unwrap();
            self.next += 1;
        }
        if let Some(flushed) = try_once(ws.flush()) {
            flushed.unwrap();
        }
    }
}

fn expect_all_arrive(mut client: WebSocket, mut server: WebSocket, messages: &[Message<'static>]) {
    let sending = || Sending { messages: messages.to_vec(), next: 0 };
    let (mut to_server, mut to_client) = (sending(), sending());
    let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
    let mut polls = 0_u64;
    while at_server.len() < messages.len() || at_client.len() < messages.len() {
        to_server.turn(&client);
        to_client.turn(&server);
        at_server.extend(try_once(server.receive()).map(|received| received.unwrap().unwrap()));
        at_client.extend(try_once(client.receive()).map(|received| received.unwrap().unwrap()));
        polls += 1;
        assert!(polls < 10_000_000, "{} and {} arrived", at_server.len(), at_client.len());
    }
    assert!(at_server == messages, "to the server");
    assert!(at_client == messages, "to the client");
    let _ = try_once(client.close(CloseCode::NORMAL_CLOSURE, "all"));
    let mut ended = (None, None);
    while ended.0.is_none() || ended.1.is_none() {
        ended.0 = ended.0.or_else(|| try_once(client.receive()));
        ended.1 = ended.1.or_else(|| try_once(server.receive()));
    }
    assert!(matches!(ended, (Some(Ok(None)), Some(Ok(None)))), "{ended:?}");
    assert!(server.close_info().unwrap().was_clean);
}

#[test]
fn nothing_is_lost_if_every_future_is_dropped_after_one_poll() {
    bounded(|| {
        for (capacity, most) in [(1, 1), (7, 3), (1000, 100)] {
            let (client, server) = pair(pipe(capacity, most), |_| {});
            expect_all_arrive(client, server, &messages(&[0, 1, 2, 125, 126, 127, 300]));
        }
        for (capacity, most) in [(2000, 4000), (100_000, 70_000)] {
            let (client, server) = pair(pipe(capacity, most), |_| {});
            expect_all_arrive(client, server, &messages(&[0, 1, 5000, 65_535, 65_536, 300_000, 3]));
        }
    });
}

#[test]
fn nothing_is_lost_of_a_message_that_arrives_in_chunks() {
    bounded(|| {
        for (capacity, most) in [(10, 5), (5000, 3000)] {
            let change = |config: &mut Config| config.delivery = Delivery::Chunks;
            let (client, server) = pair(pipe(capacity, most), change);
            expect_all_arrive(client, server, &messages(&[0, 1, 126, 3000, 20_000]));
        }
    });
}

#[test]
fn a_send_that_is_dropped_has_sent_its_message_whole_or_not_at_all() {
    bounded(|| {
        let change = |config: &mut Config| config.write_buffer_size = 500;
        let (client, mut server) = pair(pipe(100, 50), change);
        let (mut sent, mut received) = (0_u32, Vec::new());
        let mut unsure = 0;
        while sent < 200 {
            let message = format!("{sent:>100}");
            unsure += usize::from(try_once(client.send(message)).is_none());
            sent += 1;
            received.extend(try_once(server.receive()).map(|received| received.unwrap().unwrap()));
        }
        assert!(unsure > 0);
        let mut idle = 0;
        while idle < 1000 {
            let _ = try_once(client.flush());
            let message = try_once(server.receive()).map(|received| received.unwrap().unwrap());
            idle = if message.is_some() { 0 } else { idle + 1 };
            received.extend(message);
        }
        let numbers: Vec<u32> =
            received.iter().map(|message| message.as_text().unwrap().trim().parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(numbers.len() > 10, "{numbers:?}");
        assert!(received.iter().all(|message| message.len() == 100));
    });
}

#[test]
fn the_handshake_and_messages_cross_an_awkward_stream() {
    bounded(|| {
        let (one, mut other) = pipe(5, 3);
        let server = async {
            let clock = Clock::start();
            let mut handshake = Handshake::new(&HandshakeConfig::default(), clock.now());
            let request = loop {
                let mut byte = [0];
                smol::io::AsyncReadExt::read_exact(&mut other, &mut byte).await.unwrap();
                if let Some(request) = handshake.receive(&mut &mut byte[..]).unwrap() {
                    break request;
                }
            };
            let config = Arc::new(Config::default());
            let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
            let connection = upgrade.accept(&Accept::new(), config.clone(), clock.now()).unwrap();
            let mut ws = WebSocket::from_upgraded(other, connection, clock, []);
            while let Some(message) = ws.receive().await.unwrap() {
                ws.send(message).await.unwrap();
            }
        };
        let client = async {
            let request = Request::new("ws://in.memory/".parse().unwrap());
            let mut ws = WebSocket::client(one, &request, &HandshakeConfig::default(), Config::default())
                .await
                .unwrap();
            for message in messages(&[0, 10, 1000]) {
                ws.send(&message).await.unwrap();
                assert_eq!(ws.receive().await.unwrap().unwrap(), message);
            }
            ws.close(CloseCode::NORMAL_CLOSURE, "").await.unwrap();
            assert!(ws.close_info().unwrap().was_clean);
        };
        block_on(zip(server, client));
    });
}

#[test]
fn a_websocket_is_a_stream_of_messages_that_ends_with_the_close() {
    bounded(|| {
        let change = |config: &mut Config| config.delivery = Delivery::Chunks;
        let (client, mut server) = pair(pipe(50, 20), change);
        let sending = async {
            client.send("one").await.unwrap();
            client.send_chunk(Chunk::new("t")).await.unwrap();
            client.send_chunk(Chunk::last("wo")).await.unwrap();
            let mut client = client;
            client.close(CloseCode::NORMAL_CLOSURE, "").await.unwrap();
        };
        let receiving = async {
            let mut received = Vec::new();
            while let Some(message) = smol::future::poll_fn(|cx| pin!(&mut server).poll_next(cx)).await {
                received.push(message.unwrap());
            }
            received
        };
        let ((), received) = block_on(zip(sending, receiving));
        assert_eq!(received, [Message::from("one"), Message::from("two")]);
    });
}

#[test]
fn a_websocket_is_a_sink_of_messages() {
    async fn feed(mut sink: impl Sink<Message<'static>, Error = Error> + Unpin, number: usize) {
        for at in 0..number {
            smol::future::poll_fn(|cx| pin!(&mut sink).poll_ready(cx)).await.unwrap();
            pin!(&mut sink).start_send(format!("{at}").into()).unwrap();
        }
        smol::future::poll_fn(|cx| pin!(&mut sink).poll_flush(cx)).await.unwrap();
        smol::future::poll_fn(|cx| pin!(&mut sink).poll_close(cx)).await.unwrap();
    }
    bounded(|| {
        let change = |config: &mut Config| config.write_buffer_size = 100;
        for halves in [false, true] {
            let (client, mut server) = pair(pipe(50, 20), change);
            let sending = async {
                if halves {
                    let (sender, mut receiver) = client.split();
                    zip(feed(sender, 500), async { receiver.receive().await.unwrap() }).await;
                } else {
                    feed(client, 500).await;
                }
            };
            let receiving = async {
                for at in 0..500 {
                    assert_eq!(server.receive().await.unwrap().unwrap(), *format!("{at}"));
                }
                let _ = server.receive().await;
                assert_eq!(server.close_info().unwrap().code, CloseCode::NORMAL_CLOSURE);
            };
            block_on(zip(sending, receiving));
        }
    });
}

#[test]
fn try_send_says_when_there_is_no_room_and_send_waits_for_it() {
    bounded(|| {
        let change = |config: &mut Config| config.write_buffer_size = 1000;
        let (client, mut server) = pair(pipe(100, 100), change);
        let mut sent = 0;
        let refused = loop {
            match client.try_send(vec![1; 50]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1000);
        };
        assert!(matches!(refused, Error::Send(SendError::BufferFull)), "{refused:?}");
        assert!(try_once(client.send(vec![2; 50])).is_none(), "it waits");
        let sending = async {
            client.send(vec![3; 50]).await.unwrap();
            client.try_send(vec![4; 50]).unwrap();
            client.flush().await.unwrap();
        };
        let receiving = async {
            let mut received = Vec::new();
            while received.last() != Some(&4) {
                received.push(server.receive().await.unwrap().unwrap().as_bytes()[0]);
            }
            received
        };
        let ((), received) = block_on(zip(sending, receiving));
        assert_eq!(received, [vec![1; sent], vec![3, 4]].concat());
    });
}

#[test]
fn two_peers_that_both_send_more_than_fits_do_not_block_each_other() {
    async fn talk(ws: &mut WebSocket) {
        // The peer receives only after all messages are queued. From then on, `receive` also has to send.
        for _ in 0..10 {
            ws.feed(vec![1; 6000]).await.unwrap();
        }
        for _ in 0..10 {
            assert_eq!(ws.receive().await.unwrap().unwrap().len(), 6000);
        }
        // The peer may still be waiting for the rest.
        ws.flush().await.unwrap();
    }
    bounded(|| {
        let (mut client, mut server) = pair(pipe(1000, 2000), |_| {});
        block_on(zip(talk(&mut client), talk(&mut server)));
    });
}
