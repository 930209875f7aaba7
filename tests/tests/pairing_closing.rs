//! Ends of connections between the adapters, in all combinations, with and without TLS.

use std::{thread, time::Duration};

use ws_std::{
    CloseCode, Error, Message, ProtocolError,
    ws_core::{Cause, Side},
};
use ws_tests::{
    either::{Pairing, Route},
    with_every_pairing,
};

with_every_pairing! {
    a_close_of_the_client_is_seen_with_code_and_reason
    a_close_of_the_server_is_seen_with_code_and_reason
    a_close_of_a_sender_ends_the_receive_of_its_own_end
    both_ends_may_close_at_once
    a_handler_that_returns_closes_with_1000
    a_handler_that_fails_closes_with_1011
    a_handler_that_panics_closes_with_1011_and_harms_nobody
    stop_closes_with_1001_and_serve_returns
    stop_breaks_off_a_client_that_does_not_answer
    a_message_that_is_too_big_is_answered_with_1009
    a_connection_that_is_dropped_is_an_error_for_the_peer
    what_was_sent_before_a_close_arrives
    nothing_can_be_sent_after_a_close
}

fn code(code: u16) -> CloseCode {
    CloseCode::new(code)
}

fn a_close_of_the_client_is_seen_with_code_and_reason(pairing: Pairing) {
    let (_server, mut handed, mut client) = pairing.open();
    let receiving = thread::spawn(move || {
        handed.ws.receive_to_abnormal_close();
        handed.ws.close_info()
    });
    client.close(code(4321), "no reason, really").unwrap();
    let close_info = receiving.join().unwrap();
    assert_eq!((close_info.code, &*close_info.reason), (code(4321), "no reason, really"));
    assert_eq!(
        (close_info.was_clean, close_info.initiator, close_info.cause),
        (true, Side::Remote, Cause::Close)
    );
    let close_info = client.close_info();
    assert_eq!(
        (close_info.code, close_info.was_clean, close_info.initiator),
        (code(4321), true, Side::Local)
    );
}

fn a_close_of_the_server_is_seen_with_code_and_reason(pairing: Pairing) {
    let (_server, mut handed, mut client) = pairing.open();
    let receiving = thread::spawn(move || {
        client.receive_to_abnormal_close();
        client.close_info()
    });
    handed.ws.close(code(3000), "Schluß").unwrap();
    let close_info = receiving.join().unwrap();
    assert_eq!((close_info.code, &*close_info.reason), (code(3000), "Schluß"));
    assert_eq!((close_info.was_clean, close_info.initiator), (true, Side::Remote));
    let close_info = handed.ws.close_info();
    assert_eq!((close_info.was_clean, close_info.initiator), (true, Side::Local));
}

fn a_close_of_a_sender_ends_the_receive_of_its_own_end(pairing: Pairing) {
    let (_server, client) = pairing.echo();
    let (sender, mut receiver) = client.split();
    let receiving = thread::spawn(move || receiver.receive().unwrap());
    sender.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(receiving.join().unwrap(), None);
}

fn both_ends_may_close_at_once(pairing: Pairing) {
    let (_server, mut handed, mut client) = pairing.open();
    let closing = thread::spawn(move || {
        handed.ws.close(code(4001), "").unwrap();
        handed.ws.close_info()
    });
    client.close(code(4002), "").unwrap();
    assert!(client.close_info().was_clean);
    assert!(closing.join().unwrap().was_clean);
}

fn expect_closed_by_handler(pairing: Pairing, then: fn() -> ws_std::HandlerResult, expected: CloseCode) {
    let route = Route::after_one(pairing.server, then);
    let server = pairing.serve(route).start();
    for _ in 0..3 {
        let mut client = pairing.client(&server, "/").connect().unwrap();
        client.send("go").unwrap();
        let ended = client.receive_to_end();
        let close_info = client.close_info();
        assert_eq!((close_info.code, close_info.was_clean), (expected, true), "{close_info}");
        assert_eq!(ended.is_ok(), expected == CloseCode::NORMAL_CLOSURE, "{ended:?}");
    }
}

fn a_handler_that_returns_closes_with_1000(pairing: Pairing) {
    expect_closed_by_handler(pairing, || Ok(()), CloseCode::NORMAL_CLOSURE);
}

fn a_handler_that_fails_closes_with_1011(pairing: Pairing) {
    expect_closed_by_handler(pairing, || Err("out of order".into()), CloseCode::INTERNAL_ERROR);
}

fn a_handler_that_panics_closes_with_1011_and_harms_nobody(pairing: Pairing) {
    expect_closed_by_handler(pairing, || panic!("on purpose"), CloseCode::INTERNAL_ERROR);
}

fn stop_closes_with_1001_and_serve_returns(pairing: Pairing) {
    let server = pairing.serve(Route::echo(pairing.server)).start();
    let mut clients: Vec<_> = (0..3).map(|_| pairing.client(&server, "/").connect().unwrap()).collect();
    for client in &mut clients {
        client.send("here").unwrap();
        assert_eq!(client.message(), "here");
    }
    assert_eq!(server.handle().connections(), 3);
    let handle = server.handle().clone();
    let stopping = thread::spawn(move || handle.stop(Duration::from_secs(20)));
    let ending = clients.into_iter().map(|mut client| {
        thread::spawn(move || {
            client.receive_to_end().unwrap();
            client.close_info()
        })
    });
    for ended in ending.collect::<Vec<_>>() {
        let close_info = ended.join().unwrap();
        assert_eq!((close_info.code, close_info.was_clean), (CloseCode::GOING_AWAY, true));
    }
    assert!(stopping.join().unwrap(), "nothing had to be broken off");
    assert_eq!(server.handle().connections(), 0);
    server.served().unwrap();
}

fn stop_breaks_off_a_client_that_does_not_answer(pairing: Pairing) {
    let server = pairing.serve(Route::echo(pairing.server)).start();
    let mut client = pairing.client(&server, "/").connect().unwrap();
    assert!(!server.handle().stop(Duration::from_millis(50)));
    server.served().unwrap();
    // The Close arrived earlier, and the client has not read it yet.
    let _ = client.receive_to_end();
    assert_eq!(client.close_info().code, CloseCode::GOING_AWAY);
}

fn a_message_that_is_too_big_is_answered_with_1009(pairing: Pairing) {
    let route = Route::echo(pairing.server).configure(|config| config.max_message_size = 1000);
    let server = pairing.serve(route).start();
    let mut client = pairing.client(&server, "/").connect().unwrap();
    client.send(vec![7; 1000]).unwrap();
    assert_eq!(client.message(), [7; 1000][..]);
    client.send(vec![7; 1001]).unwrap();
    assert_eq!(client.receive_to_abnormal_close().code, CloseCode::MESSAGE_TOO_BIG);

    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route).start();
    let client = pairing.client(&server, "/").configure(|config| config.max_message_size = 10);
    let mut client = client.connect().unwrap();
    let mut handed = take();
    handed.ws.send("ten bytes and more").unwrap();
    let error = client.receive().unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::MessageTooLarge { .. })), "{error:?}");
    assert_eq!(handed.ws.receive_to_abnormal_close().code, CloseCode::MESSAGE_TOO_BIG);
}

fn a_connection_that_is_dropped_is_an_error_for_the_peer(pairing: Pairing) {
    let (_server, mut handed, client) = pairing.open();
    drop(client);
    let error = handed.ws.receive().unwrap_err();
    // A plain stream may just end. A TLS stream must announce its end.
    assert!(matches!(error, Error::Disconnected(_) | Error::Tls(_) | Error::Io(_)), "{error:?}");
    let close_info = handed.ws.close_info();
    assert_eq!((close_info.code, close_info.was_clean), (CloseCode::ABNORMAL_CLOSURE, false));
}

fn what_was_sent_before_a_close_arrives(pairing: Pairing) {
    let (_server, mut handed, mut client) = pairing.open();
    let closing = thread::spawn(move || {
        for number in 0..50 {
            client.feed(format!("{number}")).unwrap();
        }
        client.feed(vec![3; 300_000]).unwrap();
        client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    });
    for number in 0..50 {
        assert_eq!(handed.ws.message(), *format!("{number}"));
    }
    assert!(handed.ws.message() == vec![3; 300_000][..]);
    assert_eq!(handed.ws.receive().unwrap(), None);
    closing.join().unwrap();
}

fn nothing_can_be_sent_after_a_close(pairing: Pairing) {
    let (_server, mut client) = pairing.echo();
    client.close(CloseCode::NORMAL_CLOSURE, "done").unwrap();
    let Err(Error::Closed(close_info)) = client.send("too late") else { panic!("it was sent") };
    assert_eq!(close_info.initiator, Side::Local);
    assert!(matches!(client.send(Message::from("again")), Err(Error::Closed(_))));
    client.close(code(4000), "twice").unwrap();
    assert_eq!(client.receive().unwrap(), None);
}
