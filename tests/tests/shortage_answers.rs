//! The answers of both adapters' servers without free file descriptors. This is the only test of its program, because it
//! takes them from the whole process.

use std::{
    fs::File,
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use ws_tests::{
    Raw, bounded,
    either::{Adapter, Client, Route, Running, Server},
    eventually, kernel, let_pass, wire,
};

const ROUNDS: usize = 5;
const CLIENTS: usize = 8;

#[test]
fn clients_get_503_in_a_shortage_and_are_served_at_once_after_it() {
    bounded(|| {
        let descriptors = kernel::file_descriptors();
        for adapter in [Adapter::Std, Adapter::Smol] {
            eventually("an earlier server is gone", || kernel::file_descriptors() == descriptors);
            let server = Server::new(adapter).mount("/", Route::echo(adapter));
            let monitor = server.monitor();
            let server = server.start();
            let mut early = Raw::open(server.address(), "/");
            early.expect_echoes_at_once();
            let descriptors = kernel::file_descriptors();
            let mut fastest = Duration::MAX;
            for round in 1..=ROUNDS {
                let recovered = round_of_shortage(&server, &mut early);
                fastest = fastest.min(recovered);
                assert_eq!(monitor.stats().admission.shortage, (round * CLIENTS) as u64);
                // A descriptor that is closed later would serve a client of the next shortage.
                eventually("only the early client is left", || kernel::file_descriptors() == descriptors);
            }
            // A busy machine may delay some rounds.
            assert!(fastest < Duration::from_millis(100), "{adapter:?}: it recovered after {fastest:?}");
        }
    });
}

/// Takes all descriptors of the process, and gives them back. Returns the time from then to the first echo.
fn round_of_shortage(server: &Running, early: &mut Raw) -> Duration {
    // These descriptors exist before the shortage, so that the clients can connect during it.
    let sockets = [(); CLIENTS].map(|()| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
    let all = getrlimit(Resource::Nofile);
    let few = kernel::file_descriptors() as u64 + 20;
    setrlimit(Resource::Nofile, Rlimit { current: Some(few), ..all }).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    // Their descriptors stay in use.
    let mut refused = Vec::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        socket.connect(&server.address().into()).unwrap();
        let mut raw = Raw::from(TcpStream::from(socket));
        // Both clients that send a request and silent ones.
        if number % 2 == 0 {
            raw.write(wire::request("/", &[]));
        }
        let reply = raw.reply();
        assert_eq!(reply.status, 503, "{}", reply.head);
        assert!(wire::header(&reply.head, "Retry-After").is_some());
        refused.push(raw);
        early.expect_echoes_at_once();
    }
    let before = kernel::cpu_time();
    let_pass(Duration::from_millis(200));
    let used = kernel::cpu_time() - before;
    assert!(used < Duration::from_millis(50), "the idle server used {used:?}");
    taken.clear();
    let began = Instant::now();
    let client = Client::new(Adapter::Std, &format!("ws://{}/", server.address()));
    let mut client = client.connect().unwrap();
    client.send("back").unwrap();
    assert_eq!(client.message(), "back");
    let recovered = began.elapsed();
    setrlimit(Resource::Nofile, all).unwrap();
    recovered
}
