//! Keepalive between the adapters, in all combinations, with and without TLS.

use std::{
    thread,
    time::{Duration, Instant},
};

use ws_std::{
    Config, Error, Event, Keepalive,
    ws_core::{Cause, TimeoutKind},
};
use ws_tests::{
    PATIENCE, SLACK,
    either::{Pairing, Route},
    eventually, with_every_pairing,
};

with_every_pairing! {
    a_client_that_never_looks_is_noticed
    a_server_that_never_looks_is_noticed
    idle_peers_ping_each_other_while_they_wait_in_receive
    a_wait_that_is_limited_ends_and_the_connection_goes_on
}

const INTERVAL: Duration = Duration::from_millis(50);
const TIMEOUT: Duration = Duration::from_millis(150);

/// Settings that detect a dead peer quickly.
fn impatient(config: &mut Config) {
    config.keepalive = Some(Keepalive { interval: INTERVAL, timeout: TIMEOUT, max_missed: Some(1) });
}

/// Settings with frequent pings and a margin for a busy machine.
fn patient(config: &mut Config) {
    config.keepalive = Some(Keepalive { interval: INTERVAL, timeout: PATIENCE, max_missed: Some(1) });
}

fn silent(config: &mut Config) {
    config.keepalive = None;
}

fn expect_dead(error: Error, since: Instant) {
    let Error::Disconnected(close_info) = error else { panic!("{error:?}") };
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Keepalive));
    let took = since.elapsed();
    assert!(took >= TIMEOUT && took < INTERVAL + TIMEOUT + SLACK, "{took:?}");
}

fn a_client_that_never_looks_is_noticed(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route.configure(impatient)).start();
    let began = Instant::now();
    let _client = pairing.client(&server, "/").configure(silent).connect().unwrap();
    let mut handed = take();
    expect_dead(handed.ws.receive().unwrap_err(), began);
}

fn a_server_that_never_looks_is_noticed(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route.configure(silent)).start();
    let began = Instant::now();
    let mut client = pairing.client(&server, "/").configure(impatient).connect().unwrap();
    let _handed = take();
    expect_dead(client.receive().unwrap_err(), began);
}

fn idle_peers_ping_each_other_while_they_wait_in_receive(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route.configure(patient)).start();
    let mut client = pairing.client(&server, "/").configure(silent).connect().unwrap();
    let mut handed = take();
    let sender = handed.ws.sender();
    let waiting = thread::spawn(move || handed.ws.message());
    for _ in 0..4 {
        assert!(matches!(client.receive_event().unwrap(), Some(Event::Ping(_))));
    }
    eventually("the answers have come", || {
        // `receive` also sends the last pong.
        client.set_read_timeout(Some(Duration::from_millis(1)));
        let _ = client.receive_event();
        sender.latency().is_some()
    });
    client.send("still here").unwrap();
    assert_eq!(waiting.join().unwrap(), "still here");
}

fn a_wait_that_is_limited_ends_and_the_connection_goes_on(pairing: Pairing) {
    let (_server, client) = pairing.echo();
    let mut client = client;
    for _ in 0..3 {
        client.set_read_timeout(Some(Duration::from_millis(20)));
        assert!(matches!(client.receive(), Err(Error::Timeout(TimeoutKind::Read))));
        client.send("and on").unwrap();
        client.set_read_timeout(None);
        assert_eq!(client.message(), "and on");
    }
}
