//! The event loops, which serve all clients from one thread: the example, and the fast one of the benches.

use std::{
    io::Write as _,
    net::{Shutdown, SocketAddr},
    thread,
};

use ws_core::testing::Frame;

use crate::{
    event_loop, fast_event_loop,
    peer::{answers, expect_refusal, listen, masked, next_answer, open, read_to_end, wait_until_readable},
};

/// Starts both event loops, which run until the test ends.
fn start(send_buffer: Option<usize>) -> [SocketAddr; 2] {
    let (listener, address) = listen(send_buffer);
    thread::spawn(move || event_loop::serve(&listener));
    [address, start_fast(false, send_buffer)]
}

fn start_fast(broadcast: bool, send_buffer: Option<usize>) -> SocketAddr {
    let (listener, address) = listen(send_buffer);
    thread::spawn(move || fast_event_loop::serve(listener, broadcast));
    address
}

#[test]
fn a_hostile_client_of_the_event_loop_reads_the_close_and_is_never_reset() {
    for address in start(None) {
        for round in 0..50 {
            let mut client = open(address, None);
            expect_refusal(&mut client, round);
        }
    }
}

#[test]
fn the_event_loop_answers_all_before_a_close_through_small_buffers() {
    for (address, size) in
        start(Some(8 << 10)).into_iter().flat_map(|it| [1000, 20_000, 200_000].map(|size| (it, size)))
    {
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
    for address in start(Some(8 << 10)) {
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
}

#[test]
fn clients_that_do_not_read_or_vanish_do_not_stop_a_broadcast() {
    let address = start_fast(true, Some(8 << 10));
    let mut client = open(address, None);
    let idle = open(address, Some(8 << 10));
    let gone = open(address, Some(8 << 10));
    drop(gone);
    let mut received = Vec::new();
    for number in 0..100_u8 {
        let message = Frame::binary(vec![number; 50_000]);
        client.write_all(&masked([&message])).unwrap();
        assert!(next_answer(&mut client, &mut received) == message);
    }
    client.write_all(&masked([&Frame::close(1000, "")])).unwrap();
    assert_eq!(answers(&read_to_end(&mut client)), [Frame::close(1000, "")]);
    drop(idle);
}
