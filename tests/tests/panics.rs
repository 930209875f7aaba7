//! A panic of the application ends only its own request or connection.

use ws_std::Callbacks;
use ws_tests::{
    PATIENCE, Raw,
    either::{Adapter, Client, Route, Running, Server},
    eventually,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    sixteen_panicking_pages_leave_a_server_of_four_places_as_good_as_new
    sixteen_panicking_checks_leave_a_server_of_four_places_as_good_as_new
    sixteen_early_panics_do_not_use_up_a_server_of_four_places
    sixteen_late_panics_do_not_use_up_a_server_of_four_places
    panics_of_each_callback_do_not_use_up_a_server_of_four_places
}

const PANICS: u64 = 16;

/// Starts a server for four connections that echoes on `/echo`.
fn server(adapter: Adapter) -> Server {
    Server::new(adapter).mount("/echo", Route::echo(adapter)).max_connections(4)
}

/// Runs `panic` sixteen times, and checks that the server then serves four clients.
fn survives(adapter: Adapter, server: Server, panic: impl Fn(&Running)) {
    let monitor = server.monitor();
    let server = server.start();
    for _ in 0..PANICS {
        panic(&server);
        eventually("the place is free", || server.handle().connections() == 0);
    }
    // A thread becomes free a moment after its connection has ended.
    let open = || loop {
        let url = format!("ws://{}/echo", server.address());
        if let Ok(client) = Client::new(adapter, &url).connect() {
            return client;
        }
    };
    let mut clients = [(); 4].map(|()| open());
    for client in &mut clients {
        client.send("still there?").unwrap();
        assert_eq!(client.message(), "still there?");
    }
    let stats = monitor.stats();
    assert_eq!((stats.connections, stats.panics), (4, PANICS), "{stats:?}");
    drop(clients);
    eventually("all have ended", || monitor.stats().connections == 0);
    assert!(server.handle().stop(PATIENCE));
    server.served().unwrap();
}

fn expect_500(server: &Running, request: &str) {
    let mut raw = Raw::connect(server.address());
    raw.write(request);
    let reply = raw.reply();
    assert_eq!(reply.status, 500, "{}", reply.head);
    assert_eq!(wire::header(&reply.head, "Connection"), Some("close"));
}

fn sixteen_panicking_pages_leave_a_server_of_four_places_as_good_as_new(adapter: Adapter) {
    let server = server(adapter).page("/page", |_| panic!("on purpose"));
    survives(adapter, server, |server| expect_500(server, "GET /page HTTP/1.1\r\nHost: x\r\n\r\n"));
}

fn sixteen_panicking_checks_leave_a_server_of_four_places_as_good_as_new(adapter: Adapter) {
    let route = Route::echo(adapter).check(|_| panic!("on purpose"));
    let server = server(adapter).mount("/check", route);
    survives(adapter, server, |server| expect_500(server, &wire::request("/check", &[])));
}

fn expect_1011(mut raw: Raw) {
    assert_eq!(raw.frame().code_and_reason(), (1011, "the handler failed"));
    raw.send(Frame::close(1011, ""));
    assert_eq!(raw.next_frame(), None);
}

fn sixteen_early_panics_do_not_use_up_a_server_of_four_places(adapter: Adapter) {
    let server = server(adapter).mount("/panics", Route::panics(adapter));
    survives(adapter, server, |server| expect_1011(Raw::open(server.address(), "/panics")));
}

fn sixteen_late_panics_do_not_use_up_a_server_of_four_places(adapter: Adapter) {
    let server = server(adapter).mount("/panics", Route::after_one(adapter, || panic!("on purpose")));
    survives(adapter, server, |server| {
        let raw = Raw::open(server.address(), "/panics");
        raw.send(Frame::text("go"));
        expect_1011(raw);
    });
}

fn panics_of_each_callback_do_not_use_up_a_server_of_four_places(adapter: Adapter) {
    let on_connect = Callbacks::new().on_connect(|_| panic!("on purpose"));
    let on_message = Callbacks::new().on_message(|_, _| panic!("on purpose"));
    let on_disconnect = Callbacks::new().on_disconnect(|_, _| panic!("on purpose"));
    let on_error = Callbacks::new().on_error(|_, _| panic!("on purpose"));
    let kinds = [on_connect, on_message, on_disconnect, on_error];
    for (kind, callbacks) in kinds.into_iter().enumerate() {
        let server = server(adapter).mount("/panics", Route::callbacks(adapter, callbacks));
        survives(adapter, server, |server| {
            let mut raw = Raw::open(server.address(), "/panics");
            match kind {
                0 => expect_1011(raw),
                1 => {
                    raw.send(Frame::text("go"));
                    expect_1011(raw);
                }
                2 => {
                    raw.send(Frame::close(1000, ""));
                    assert_eq!(raw.frame().code_and_reason().0, 1000);
                    assert_eq!(raw.next_frame(), None);
                }
                _ => {
                    raw.send(Frame::close(1011, ""));
                    assert_eq!(raw.frame().code_and_reason().0, 1011);
                    assert_eq!(raw.next_frame(), None);
                }
            }
        });
    }
}
