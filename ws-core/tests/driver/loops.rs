//! The event loop, which serves all clients from one thread.

use std::{
    io::Write as _,
    net::{Shutdown, SocketAddr, TcpListener},
    thread,
};

use rustix::net::sockopt;
use ws_core::testing::{Frame, wire};

use crate::{
    event_loop,
    peer::{answers, masked, next_frame, open, read_to_end, wait_until_readable},
};

/// Starts the event loop, which runs until the test ends.
fn start(broadcast: bool, send_buffer: Option<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(size) = send_buffer {
        // Connections inherit this option.
        sockopt::set_socket_send_buffer_size(&listener, size).unwrap();
    }
    let address = listener.local_addr().unwrap();
    thread::spawn(move || event_loop::serve(listener, broadcast));
    address
}

#[test]
fn a_hostile_client_of_the_event_loop_reads_the_close_and_is_never_reset() {
    let address = start(false, None);
    for round in 0..50 {
        let mut client = open(address, None);
        let stream = [masked([&Frame::new(11, "")]), vec![0xFF; 300_000]].concat();
        client.write_all(&stream).unwrap_or_else(|error| panic!("round {round}: {error}"));
        let received = answers(&read_to_end(&mut client));
        assert_eq!(received.len(), 1, "round {round}");
        assert_eq!(
            (received[0].opcode, &received[0].payload[..2]),
            (wire::CLOSE, &1002_u16.to_be_bytes()[..])
        );
    }
}

#[test]
fn the_event_loop_answers_all_messages_before_a_close_through_small_buffers() {
    let address = start(false, Some(8 << 10));
    for size in [1000, 20_000, 200_000] {
        let mut client = open(address, Some(8 << 10));
        let mut messages: Vec<_> = (0..20).map(|number: u8| Frame::binary(vec![number; size])).collect();
        messages.push(Frame::close(1000, ""));
        let mut writer = client.try_clone().unwrap();
        let bytes = masked(&messages);
        let sender = thread::spawn(move || writer.write_all(&bytes).unwrap());
        wait_until_readable(&client);
        assert!(answers(&read_to_end(&mut client)) == messages, "{size} bytes");
        sender.join().unwrap();
    }
}

#[test]
fn the_event_loop_answers_a_client_that_half_closes() {
    let address = start(false, Some(8 << 10));
    let mut client = open(address, Some(8 << 10));
    let messages: Vec<_> = (0..5).map(|number: u8| Frame::binary(vec![number; 100_000])).collect();
    let mut writer = client.try_clone().unwrap();
    let bytes = masked(&messages);
    let sender = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(answers(&read_to_end(&mut client)) == messages);
    sender.join().unwrap();
}

#[test]
fn clients_that_do_not_read_or_vanish_do_not_stop_a_broadcast() {
    let address = start(true, Some(8 << 10));
    let mut client = open(address, None);
    let idle = open(address, Some(8 << 10));
    let gone = open(address, Some(8 << 10));
    drop(gone);
    let mut received = Vec::new();
    for number in 0..100_u8 {
        let message = Frame::binary(vec![number; 50_000]);
        client.write_all(&masked([&message])).unwrap();
        assert!(next_frame(&mut client, &mut received) == message);
    }
    client.write_all(&masked([&Frame::close(1000, "")])).unwrap();
    assert_eq!(answers(&read_to_end(&mut client)), [Frame::close(1000, "")]);
    drop(idle);
}
