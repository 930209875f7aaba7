//! The entry points of the core for a peer's bytes, each in a function of its own that `check.py` follows.

use std::{
    hint::black_box,
    io::{self, Read as _},
    sync::Arc,
    time::Duration,
};

use ws_core::{Config, Connection, Delivery, Event, Timestamp};

/// Processes received bytes as a driver does.
#[inline(never)]
fn no_panic_receive(connection: &mut Connection, mut input: &mut [u8]) -> usize {
    let mut total = 0_usize;
    while let Ok(Some(event)) = connection.receive(&mut input) {
        total = total.wrapping_add(match event {
            Event::Message(message) => message.len(),
            Event::Chunk(chunk) => chunk.payload.len(),
            Event::Ping(payload) | Event::Pong(payload) => payload.len(),
            Event::Close(frame) => usize::from(frame.is_some()),
            _ => 0,
        });
    }
    total
}

/// Processes received bytes as a driver that reads large messages in place.
#[inline(never)]
fn no_panic_receive_in_place(connection: &mut Connection, input: &[u8]) -> usize {
    let read = connection.receive_in_place(|payload| {
        let room = payload.capacity().saturating_sub(payload.len());
        let read = input.get(..room.min(input.len())).unwrap_or_default();
        payload.extend_from_slice(read);
        read.len()
    });
    read.unwrap_or(0)
}

/// Processes the end of the stream.
#[inline(never)]
fn no_panic_receive_eof(connection: &mut Connection) {
    connection.receive_eof();
}

/// Processes timeouts.
#[inline(never)]
fn no_panic_handle_timeout(connection: &mut Connection, now: Timestamp) {
    connection.handle_timeout(now);
}

fn main() -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    for delivery in [Delivery::Messages, Delivery::Chunks] {
        let mut config = Config::default();
        config.delivery = delivery;
        let config = Arc::new(config);
        let server = Connection::server(config.clone(), Timestamp::ZERO);
        let client = Connection::client(config, [7; 32], Timestamp::ZERO);
        for mut connection in [server, client] {
            println!("{}", no_panic_receive(black_box(&mut connection), &mut bytes.clone()));
            println!("{}", no_panic_receive_in_place(black_box(&mut connection), &bytes));
            no_panic_handle_timeout(black_box(&mut connection), Timestamp::from(Duration::from_secs(60)));
            no_panic_receive_eof(black_box(&mut connection));
        }
    }
    Ok(())
}
