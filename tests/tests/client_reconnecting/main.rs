//! Clients that connect again by themselves: iterators, streams and callbacks.

mod callbacks;

use std::{net::TcpListener, sync::mpsc, thread, time::Duration};

use ws_std::{CancelHandle, CloseCode, Error, HandshakeError, ReconnectPolicy};
use ws_tests::{
    Raw, RawListener, bounded,
    either::{Adapter, Client, Reconnecting},
    takes,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    a_connection_that_has_ended_is_followed_by_another
    a_connection_that_is_dropped_while_it_is_open_is_replaced
    the_hook_changes_the_client_before_each_attempt
    a_normal_close_of_the_server_is_the_end
    a_close_of_this_end_is_the_end
    an_error_that_is_not_transient_is_the_last_item
    the_application_decides_about_each_error
    the_number_of_attempts_is_limited
    retry_after_is_obeyed
    the_delay_of_a_service_restart_is_obeyed
}

/// Returns delays that a test does not notice.
fn quick() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::default();
    policy.first_delay = Duration::from_millis(1);
    policy.max_delay = Duration::from_millis(5);
    policy
}

fn client(adapter: Adapter, listener: &RawListener, policy: ReconnectPolicy) -> Reconnecting {
    Client::new(adapter, &listener.url("/")).reconnect(policy)
}

/// Runs a server in a thread: one function for each connection.
fn serve<T: Send + 'static>(
    listener: RawListener,
    count: usize,
    mut run: impl FnMut(usize, Raw) -> T + Send + 'static,
) -> thread::JoinHandle<Vec<T>> {
    thread::spawn(move || (0..count).map(|at| run(at, listener.accept())).collect())
}

/// Completes the opening handshake. Returns the head of the request.
fn open(raw: &mut Raw) -> String {
    let head = raw.head();
    raw.write(wire::response(&head));
    head
}

fn refuse(raw: &mut Raw, status: &str) {
    raw.head();
    raw.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
}

/// Closes the connection, and waits for the answer.
fn close(mut raw: Raw, code: u16) {
    raw.send_unmasked(&Frame::close(code, ""));
    raw.frame();
}

fn a_connection_that_has_ended_is_followed_by_another(adapter: Adapter) {
    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick());
    let serving = serve(listener, 4, |at, mut raw| {
        open(&mut raw);
        raw.send_unmasked(&Frame::text(&at.to_string()));
        match at {
            0 => close(raw, 1001),
            1 => drop(raw),
            2 => close(raw, 1011),
            _ => close(raw, 1000),
        }
    });
    for at in 0..4 {
        let mut ws = connections.connection();
        assert_eq!(ws.message(), *at.to_string());
        let _ = ws.receive_to_end();
    }
    assert!(connections.next().is_none());
    serving.join().unwrap();
}

fn a_connection_that_is_dropped_while_it_is_open_is_replaced(adapter: Adapter) {
    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick());
    let serving = serve(listener, 2, |_, mut raw| open(&mut raw));
    drop(connections.connection());
    drop(connections.connection());
    serving.join().unwrap();
}

fn the_hook_changes_the_client_before_each_attempt(adapter: Adapter) {
    let listener = RawListener::new();
    let (tell, told) = mpsc::channel();
    let mut token = 0;
    let mut connections = client(adapter, &listener, quick()).before_attempt(move |client, attempt| {
        tell.send((attempt.number, attempt.error.map(ToString::to_string))).unwrap();
        token += 1;
        client.header("Authorization", &format!("Bearer {token}"))
    });
    let serving = serve(listener, 3, |at, mut raw| {
        let head = open_or_refuse(&mut raw, at == 1);
        if at == 0 {
            close(raw, 1001);
        }
        wire::header(&head, "Authorization").unwrap().to_owned()
    });
    connections.connection().receive_to_end().unwrap();
    drop(connections.connection());
    assert_eq!(serving.join().unwrap(), ["Bearer 1", "Bearer 2", "Bearer 3"]);
    let attempts: Vec<_> = told.try_iter().collect();
    let numbers: Vec<_> = attempts.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 1, 2]);
    assert_eq!(attempts[0].1, None);
    assert!(attempts[1].1.as_ref().unwrap().contains("1001"), "{attempts:?}");
    assert!(attempts[2].1.as_ref().unwrap().contains("503"), "{attempts:?}");
}

fn open_or_refuse(raw: &mut Raw, refuses: bool) -> String {
    let head = raw.head();
    let refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned();
    raw.write(if refuses { refusal } else { wire::response(&head) });
    head
}

fn a_normal_close_of_the_server_is_the_end(adapter: Adapter) {
    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick());
    let serving = serve(listener, 1, |_, mut raw| {
        open(&mut raw);
        close(raw, 1000);
    });
    connections.connection().receive_to_end().unwrap();
    assert!(connections.next().is_none());
    assert!(connections.next().is_none());
    serving.join().unwrap();
}

fn a_close_of_this_end_is_the_end(adapter: Adapter) {
    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick());
    let serving = serve(listener, 1, |_, mut raw| {
        open(&mut raw);
        assert_eq!(raw.frame().code_and_reason(), (1000, "bye"));
        raw.send_unmasked(&Frame::close(1000, "bye"));
    });
    connections.connection().close(CloseCode::NORMAL_CLOSURE, "bye").unwrap();
    assert!(connections.next().is_none());
    serving.join().unwrap();
}

fn an_error_that_is_not_transient_is_the_last_item(adapter: Adapter) {
    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick());
    let serving = serve(listener, 1, |_, mut raw| {
        open(&mut raw);
        close(raw, 1008);
    });
    let is_refusal =
        |error: &Error| matches!(error, Error::Closed(ended) if ended.code == CloseCode::POLICY_VIOLATION);
    assert!(is_refusal(&connections.connection().receive_to_end().unwrap_err()));
    assert!(is_refusal(&connections.next().unwrap().unwrap_err()));
    assert!(connections.next().is_none());
    serving.join().unwrap();

    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick());
    let serving = serve(listener, 1, |_, mut raw| refuse(&mut raw, "404 Not Found"));
    assert_eq!(status(&connections.next().unwrap().unwrap_err()), 404);
    assert!(connections.next().is_none());
    serving.join().unwrap();
}

fn status(error: &Error) -> u16 {
    let Error::Handshake(HandshakeError::Refused(response)) = error else { panic!("{error:?}") };
    response.status()
}

fn the_application_decides_about_each_error(adapter: Adapter) {
    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick())
        .retry_if(|error| matches!(error, Error::Closed(_)) || status(error) == 404);
    let serving = serve(listener, 4, |at, mut raw| match at {
        0 => refuse(&mut raw, "404 Not Found"),
        1 => {
            open(&mut raw);
            close(raw, 1000);
        }
        _ => refuse(&mut raw, if at == 2 { "404 Not Found" } else { "503 Service Unavailable" }),
    });
    connections.connection().receive_to_end().unwrap();
    assert_eq!(status(&connections.next().unwrap().unwrap_err()), 503);
    assert!(connections.next().is_none());
    serving.join().unwrap();
}

fn the_number_of_attempts_is_limited(adapter: Adapter) {
    // The port is free again.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut policy = quick();
    policy.max_attempts = Some(3);
    let (tell, told) = mpsc::channel();
    let mut connections = Client::new(adapter, &format!("ws://{address}/")).reconnect(policy).before_attempt(
        move |client, attempt| {
            tell.send(attempt.number).unwrap();
            client
        },
    );
    assert!(matches!(connections.next(), Some(Err(Error::Io(_)))));
    assert!(connections.next().is_none());
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
}

fn retry_after_is_obeyed(adapter: Adapter) {
    let listener = RawListener::new();
    let mut connections = client(adapter, &listener, quick());
    let serving = serve(listener, 2, |at, mut raw| match at {
        0 => refuse(&mut raw, "503 Service Unavailable\r\nRetry-After: 1"),
        _ => drop(open(&mut raw)),
    });
    takes(Duration::from_secs(1), || drop(connections.connection()));
    serving.join().unwrap();
}

fn the_delay_of_a_service_restart_is_obeyed(adapter: Adapter) {
    let listener = RawListener::new();
    let mut policy = quick();
    policy.restart_delay = Duration::from_millis(500)..=Duration::from_millis(600);
    let mut connections = client(adapter, &listener, policy);
    let serving = serve(listener, 2, |at, mut raw| {
        open(&mut raw);
        if at == 0 {
            close(raw, 1012);
        }
    });
    let _ = connections.connection().receive_to_end();
    takes(Duration::from_millis(500), || drop(connections.connection()));
    serving.join().unwrap();
}

#[test]
fn a_cancel_handle_ends_the_iterator_during_a_wait() {
    bounded(|| {
        let listener = RawListener::new();
        let cancel = CancelHandle::new().unwrap();
        let connections = ws_std::Client::new(&listener.url("/")).cancel_with(&cancel).reconnecting();
        let iterating = thread::spawn(move || connections.count());
        let mut raw = listener.accept();
        refuse(&mut raw, "503 Service Unavailable\r\nRetry-After: 1000");
        raw.rest().unwrap();
        takes(Duration::ZERO, || {
            cancel.cancel();
            assert_eq!(iterating.join().unwrap(), 0);
        });
    });
}

#[test]
fn a_dropped_wait_for_the_next_connection_continues_later() {
    bounded(|| {
        let listener = RawListener::new();
        let mut connections = ws_smol::Client::new(&listener.url("/")).reconnect(quick());
        let serving = serve(listener, 2, |at, mut raw| match at {
            0 => refuse(&mut raw, "503 Service Unavailable\r\nRetry-After: 1"),
            _ => drop(open(&mut raw)),
        });
        takes(Duration::from_secs(1), || {
            smol::block_on(async {
                for _ in 0..20 {
                    let late = async {
                        smol::Timer::after(Duration::from_millis(20)).await;
                        false
                    };
                    let connected = async { connections.next().await.unwrap().is_ok() };
                    assert!(!smol::future::or(connected, late).await);
                }
                connections.next().await.unwrap().unwrap();
            });
        });
        serving.join().unwrap();
    });
}
