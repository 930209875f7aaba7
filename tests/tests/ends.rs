//! Normal and abnormal ends of connections.

use std::sync::{Mutex, mpsc};

use futures_lite::{StreamExt as _, future::block_on};
use ws_std::{Callbacks, CloseCode, CloseInfo, Error};
use ws_tests::{
    PATIENCE, Raw, bounded,
    either::{Adapter, Client, Route, Server, WebSocket},
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    a_close_with_1000_or_1001_or_without_a_code_is_a_normal_end
    a_close_of_the_peer_with_another_code_is_an_error_with_code_and_reason
    an_answer_to_our_own_close_is_a_normal_end_whatever_its_code
    a_peer_that_does_not_answer_our_close_is_an_error
    an_error_that_ends_a_connection_is_returned_once
    close_is_no_error_whatever_the_peer_closes_with
    on_error_is_called_for_an_abnormal_close_and_not_for_a_normal_one
}

/// Returns a client that has not received anything yet, and its server.
fn connected(adapter: Adapter) -> (WebSocket, Raw) {
    Client::connected_to_raw(adapter, |client| client)
}

fn a_close_with_1000_or_1001_or_without_a_code_is_a_normal_end(adapter: Adapter) {
    for close in [Frame::close(1000, "bye"), Frame::close(1001, ""), Frame::new(Frame::CLOSE, "")] {
        let (mut ws, raw) = connected(adapter);
        raw.send_unmasked(&close);
        drop(raw);
        assert!(matches!(ws.receive(), Ok(None)), "{close:?}");
        assert!(ws.close_info().is_normal());
    }
}

fn a_close_of_the_peer_with_another_code_is_an_error_with_code_and_reason(adapter: Adapter) {
    for code in [1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4000] {
        let (mut ws, raw) = connected(adapter);
        raw.send_unmasked(&Frame::text("a message that is not lost"));
        raw.send_unmasked(&Frame::close(code, "database down"));
        drop(raw);
        assert_eq!(ws.message(), "a message that is not lost");
        let error = ws.receive().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&code.to_string()) && text.contains("database down"), "{text}");
        let Error::Closed(close_info) = error else { panic!("{error:?}") };
        assert_eq!(
            (close_info.code.get(), &*close_info.reason, close_info.was_clean),
            (code, "database down", true)
        );
        assert!(!close_info.is_normal());
    }
}

fn an_answer_to_our_own_close_is_a_normal_end_whatever_its_code(adapter: Adapter) {
    for answer in [1000, 1011, 4321] {
        let (mut ws, mut raw) = connected(adapter);
        ws.sender().close(CloseCode::INTERNAL_ERROR, "").unwrap();
        assert_eq!(raw.frame().code_and_reason(), (1011, ""));
        raw.send_unmasked(&Frame::text("a message before the answer"));
        raw.send_unmasked(&Frame::close(answer, ""));
        drop(raw);
        assert_eq!(ws.message(), "a message before the answer");
        assert!(matches!(ws.receive(), Ok(None)), "{answer}");
        assert!(ws.close_info().is_normal());
    }
}

fn a_peer_that_does_not_answer_our_close_is_an_error(adapter: Adapter) {
    let (mut ws, mut raw) = connected(adapter);
    ws.sender().close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(raw.frame().code_and_reason(), (1000, ""));
    drop(raw);
    assert!(matches!(ws.receive(), Err(Error::Disconnected(close_info)) if !close_info.is_normal()));
    assert!(matches!(ws.receive(), Ok(None)));
}

fn an_error_that_ends_a_connection_is_returned_once(adapter: Adapter) {
    /// A kind of end, and `true` if `receive` reports it as an error.
    type Ending = (fn(Raw), fn(&Error) -> bool);
    let ends: [Ending; 3] = [
        (|raw| raw.send_unmasked(&Frame::close(1011, "")), |error| matches!(error, Error::Closed(_))),
        (drop, |error| matches!(error, Error::Disconnected(_))),
        // A masked frame, which a server must not send.
        (|raw| raw.send(Frame::text("hello")), |error| matches!(error, Error::Protocol(_))),
    ];
    for (end, is_expected) in ends {
        let (mut ws, raw) = connected(adapter);
        end(raw);
        let error = ws.receive().unwrap_err();
        assert!(is_expected(&error), "{error:?}");
        for _ in 0..100 {
            assert!(matches!(ws.receive(), Ok(None)));
            assert!(matches!(ws.receive_chunk(), Ok(None)));
            assert!(matches!(ws.receive_event(), Ok(None)));
        }
    }
}

fn close_is_no_error_whatever_the_peer_closes_with(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    raw.send_unmasked(&Frame::close(1011, ""));
    drop(raw);
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

fn on_error_is_called_for_an_abnormal_close_and_not_for_a_normal_one(adapter: Adapter) {
    let (tell, told) = mpsc::channel();
    let (errors, ends) = (Mutex::new(tell.clone()), Mutex::new(tell));
    let callbacks = Callbacks::new()
        .on_error(move |_, error| {
            let Error::Closed(close_info) = error else { panic!("{error:?}") };
            errors.lock().unwrap().send(("on_error", close_info.clone())).unwrap();
        })
        .on_disconnect(move |_, close_info| {
            ends.lock().unwrap().send(("on_disconnect", close_info.clone())).unwrap();
        });
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let next = || -> (&str, CloseInfo) { told.recv_timeout(PATIENCE).expect("a callback") };
    for (code, expected) in [(1001, &["on_disconnect"][..]), (1008, &["on_error", "on_disconnect"])] {
        let mut raw = Raw::open(server.address(), "/");
        raw.send(Frame::close(code, ""));
        assert_eq!(raw.frame().code_and_reason().0, code);
        for &name in expected {
            let (called, close_info) = next();
            assert_eq!((called, close_info.code.get(), close_info.is_normal()), (name, code, code == 1001));
        }
    }
}

#[test]
fn a_stream_yields_an_error_once_and_then_ends() {
    bounded(|| {
        let (ws, raw) = connected(Adapter::Smol);
        let WebSocket::Smol(mut ws) = ws else { unreachable!() };
        raw.send_unmasked(&Frame::text("first"));
        raw.send_unmasked(&Frame::close(1011, "database down"));
        drop(raw);
        block_on(async {
            assert_eq!(ws.next().await.unwrap().unwrap(), "first");
            assert!(matches!(ws.next().await, Some(Err(Error::Closed(_)))));
            assert!(ws.next().await.is_none());
            assert!(ws.next().await.is_none());
        });
    });
}
