//! The result of a single call: an end is returned once, and a message that has arrived needs no second call.

use std::time::Duration;

use futures_lite::{StreamExt as _, future::block_on};
use ws_std::Error;
use ws_tests::{
    Raw, bounded,
    either::{Adapter, Client, WebSocket},
    eventually, kernel,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    a_lost_connection_is_returned_once
    a_broken_rule_is_returned_once
    one_call_without_waiting_returns_a_message_that_has_arrived
}

/// More calls than any end is repeated by chance.
const CALLS: usize = 1_000;

fn connected(adapter: Adapter) -> (WebSocket, Raw) {
    Client::connected_to_raw(adapter, |client| client)
}

/// Sends a masked frame, which a server must not send.
fn break_a_rule(raw: &Raw) {
    raw.send(Frame::text("hello"));
}

fn expect_no_second_error(ws: &mut WebSocket) {
    for _ in 0..CALLS {
        assert!(matches!(ws.receive(), Ok(None)));
    }
}

fn a_lost_connection_is_returned_once(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    drop(raw);
    assert!(matches!(ws.receive(), Err(Error::Disconnected(_))));
    expect_no_second_error(&mut ws);
}

fn a_broken_rule_is_returned_once(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    break_a_rule(&raw);
    assert!(matches!(ws.receive(), Err(Error::Protocol(_))));
    expect_no_second_error(&mut ws);
}

#[test]
fn a_stream_yields_a_lost_connection_and_a_broken_rule_once() {
    bounded(|| {
        let ends: [fn(Raw); 2] = [drop, |raw| break_a_rule(&raw)];
        for end in ends {
            let (ws, raw) = connected(Adapter::Smol);
            let WebSocket::Smol(mut ws) = ws else { unreachable!() };
            end(raw);
            assert!(matches!(block_on(ws.next()), Some(Err(_))));
            for _ in 0..CALLS {
                assert!(block_on(ws.next()).is_none());
            }
        }
    });
}

fn one_call_without_waiting_returns_a_message_that_has_arrived(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    ws.set_read_timeout(Some(Duration::ZERO));
    let there = raw.socket().peer_addr().unwrap();
    let here = raw.socket().local_addr().unwrap();
    for number in 0..20 {
        let frame = Frame::text(&number.to_string());
        let len = frame.encode().len();
        raw.send_unmasked(&frame);
        eventually("the message has arrived", || kernel::unread(there, here) == Some(len));
        assert_eq!(ws.receive().expect("no timeout").expect("a message"), number.to_string().as_str());
    }
}
