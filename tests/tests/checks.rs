//! Checks of the application before a WebSocket is opened: what they hand to the handler, and that one that waits keeps
//! nothing else waiting.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use smol::channel;
use ws_std::{Accept, Callbacks, ConnectionErrorKind, Response};
use ws_tests::{
    PATIENCE, Raw, SLACK, bounded,
    either::{Adapter, Client, Route, Running, Server},
    eventually, takes, wire, with_both_adapters,
};

with_both_adapters! {
    the_handler_gets_the_values_of_the_check
    a_session_gets_the_values_of_the_check
    a_value_lives_as_long_as_the_connection
}

const SHORT: Duration = Duration::from_millis(200);

/// The user that a check has authenticated.
#[derive(Debug, PartialEq, Eq)]
struct User(String);

#[derive(Debug, PartialEq, Eq)]
struct Rights(u8);

fn authenticate(request: &ws_std::Request) -> Result<Accept, Response> {
    let name = request.header("X-User").ok_or_else(|| Response::new(401))?;
    Ok(Accept::new().with(User(name.to_owned())).with(Rights(7)))
}

fn client(adapter: Adapter, server: &Running, user: &str) -> Client {
    Client::new(adapter, &format!("ws://{}/", server.address())).header("X-User", user)
}

fn status(raw: &mut Raw) -> String {
    raw.head().get(9..12).unwrap_or_default().to_owned()
}

fn ask(server: &Running) -> Raw {
    let raw = Raw::connect(server.address());
    raw.write(wire::request("/", &[]));
    raw
}

fn the_handler_gets_the_values_of_the_check(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route.check(authenticate)).start();
    for user in ["Ada", "Grace"] {
        let _ws = client(adapter, &server, user).connect().unwrap();
        let handed = take();
        assert_eq!(handed.request.get(), Some(&User(user.to_owned())));
        assert_eq!(handed.request.get(), Some(&Rights(7)));
        assert_eq!(handed.request.get::<String>(), None);
    }
}

fn a_session_gets_the_values_of_the_check(adapter: Adapter) {
    let callbacks = Callbacks::new().on_message(|session, _| {
        let User(name) = session.get().expect("a user");
        let _ = session.feed(format!("{name} {:?}", session.get::<Rights>()));
    });
    let route = Route::callbacks(adapter, callbacks).check(authenticate);
    let server = Server::new(adapter).mount("/", route).start();
    let mut ws = client(adapter, &server, "Ada").connect().unwrap();
    ws.send("who am I?").unwrap();
    assert_eq!(ws.message(), "Ada Some(Rights(7))");

    let (told, tells) = mpsc::channel();
    let told = Mutex::new(told);
    let callbacks = Callbacks::new()
        .on_connect(move |session| told.lock().unwrap().send(session.get::<User>().is_none()).unwrap());
    let client = client(adapter, &server, "Ada").start(callbacks).unwrap();
    assert!(tells.recv_timeout(PATIENCE).unwrap(), "a client has no value");
    client.stop(PATIENCE);
}

fn a_value_lives_as_long_as_the_connection(adapter: Adapter) {
    let value = Arc::new(());
    let attached = value.clone();
    let route = Route::callbacks(adapter, Callbacks::new());
    let route = route.check(move |_| Ok(Accept::new().with(attached.clone())));
    let server = Server::new(adapter).mount("/", route).start();
    let ws = client(adapter, &server, "Ada").connect().unwrap();
    // One is here, one in the check, one in the request.
    eventually("the value is attached", || Arc::strong_count(&value) == 3);
    drop(ws);
    eventually("the value is dropped", || Arc::strong_count(&value) == 2);
}

/// A server of `ws-smol` on one thread, with an asynchronous check on `/`, and an echo without one on `/echo`.
fn serve<F>(check: impl Fn(ws_smol::Request) -> F + Send + Sync + 'static) -> ws_smol::Server
where
    F: Future<Output = Result<Accept, Response>> + Send + 'static,
{
    let echo = || {
        ws_smol::Route::new(|_, mut ws| async move {
            while let Some(message) = ws.receive().await? {
                ws.send(message).await?;
            }
            Ok(())
        })
    };
    ws_smol::Server::new().mount("/", echo().check_async(check)).mount("/echo", echo())
}

#[test]
fn a_check_that_waits_keeps_no_other_connection_waiting() {
    bounded(|| {
        let (open, opened) = channel::bounded::<()>(8);
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = begun.clone();
        let server = Server::Smol(serve(move |request| {
            let opened = opened.clone();
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                opened.recv().await.map_err(|_| Response::new(500))?;
                Ok(Accept::new().header("X-Path", request.path()))
            }
        }))
        .start();
        let mut raws = [(); 8].map(|()| ask(&server));
        eventually("all checks wait", || begun.load(Ordering::SeqCst) == 8);
        // None of them has ended, and none will before the echo is there.
        let mut ws =
            Client::new(Adapter::Smol, &format!("ws://{}/echo", server.address())).connect().unwrap();
        ws.send("unrelated").unwrap();
        assert_eq!(ws.message(), "unrelated");
        (0..8).for_each(|_| open.try_send(()).unwrap());
        for raw in &mut raws {
            let head = raw.head();
            assert_eq!((head.get(9..12), wire::header(&head, "X-Path")), (Some("101"), Some("/")));
        }
    });
}

#[test]
fn an_asynchronous_check_refuses_with_a_response_of_its_own() {
    bounded(|| {
        let server = Server::Smol(serve(|_| async { Err(Response::new(403).text("not you")) })).start();
        let reply = ask(&server).reply();
        assert_eq!((reply.status, &*reply.body), (403, "not you"));
    });
}

/// A check that panics at one of these moments.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    BeforeItsFuture,
    Later,
    WhenDropped,
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn an_asynchronous_check_that_panics_costs_its_own_request() {
    bounded(|| {
        for moment in [Moment::BeforeItsFuture, Moment::Later, Moment::WhenDropped] {
            let kinds = Arc::new(Mutex::new(Vec::new()));
            let reported = kinds.clone();
            let server = serve(move |_| {
                assert_ne!(moment, Moment::BeforeItsFuture, "on purpose");
                let bomb = (moment == Moment::WhenDropped).then_some(PanicsWhenDropped);
                async move {
                    smol::future::yield_now().await;
                    assert_ne!(moment, Moment::Later, "on purpose");
                    if bomb.is_some() {
                        // Dropped at the open timeout.
                        smol::future::pending::<()>().await;
                    }
                    Ok(Accept::new())
                }
            });
            let server = server
                .configure_handshake(|limits| limits.open_timeout = Some(SHORT))
                .on_error(move |error| reported.lock().unwrap().push(error.kind));
            let server = Server::Smol(server).start();
            assert_eq!(status(&mut ask(&server)), "500", "{moment:?}");
            assert_eq!(*kinds.lock().unwrap(), [ConnectionErrorKind::Panic], "{moment:?}");
            let url = format!("ws://{}/echo", server.address());
            Client::new(Adapter::Smol, &url).connect().expect("the server serves on");
        }
    });
}

#[test]
fn a_check_beyond_the_open_timeout_is_dropped_and_answered_with_503() {
    bounded(|| {
        let alive = Arc::new(());
        let held = alive.clone();
        let server = serve(move |_| {
            let held = held.clone();
            async move {
                smol::future::pending::<()>().await;
                drop(held);
                Ok(Accept::new())
            }
        });
        let server = server.configure_handshake(|limits| limits.open_timeout = Some(SHORT));
        let server = Server::Smol(server).start();
        takes(SHORT, || assert_eq!(status(&mut ask(&server)), "503"));
        assert_eq!(Arc::strong_count(&alive), 2, "the check is dropped");
    });
}

#[test]
fn a_stop_ends_checks_that_wait_at_once_with_503() {
    bounded(|| {
        let begun = Arc::new(AtomicUsize::new(0));
        let counter = begun.clone();
        let server = serve(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            smol::future::pending()
        });
        let server = server.configure_handshake(|limits| limits.open_timeout = None);
        let server = Server::Smol(server).start();
        let mut raws = [ask(&server), ask(&server)];
        eventually("the checks wait", || begun.load(Ordering::SeqCst) == 2);
        let stopped = Instant::now();
        server.handle().begin_stop(PATIENCE);
        for raw in &mut raws {
            assert_eq!(status(raw), "503");
        }
        drop(raws);
        server.served().unwrap();
        assert!(stopped.elapsed() < SLACK, "{:?}", stopped.elapsed());
    });
}
