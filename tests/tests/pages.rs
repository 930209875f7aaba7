//! HTTP pages, and clients that do not read them.

use std::{
    io::Read as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use ws_std::Response;
use ws_tests::{
    Raw, SLACK,
    certificates::Authority,
    either::{Adapter, Client, Route, Running, Server},
    eventually, let_pass,
    tls::RawTls,
    with_both_adapters,
};

with_both_adapters! {
    a_page_that_is_never_read_ends_after_the_write_timeout
    a_page_read_below_16_kib_per_second_is_cut_off
    a_large_page_arrives_whole
    a_large_page_arrives_whole_by_tls
}

const GET: &str = "GET /page HTTP/1.1\r\nHost: x\r\n\r\n";

/// Starts a server with a page of this size.
fn server(adapter: Adapter, size: usize) -> Server {
    let page = Response::new(200).body(vec![b'x'; size]);
    Server::new(adapter).mount("/", Route::echo(adapter)).page("/page", move |_| page.clone())
}

fn is_free(server: &Running) -> bool {
    server.handle().connections() == 0
}

fn a_page_that_is_never_read_ends_after_the_write_timeout(adapter: Adapter) {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let server = server(adapter, 20 << 20).write_timeout(TIMEOUT).start();
    let mut raws = [(); 4].map(|()| Raw::connect(server.address()));
    let began = Instant::now();
    for raw in &mut raws {
        raw.write(GET);
        assert!(raw.head().starts_with("HTTP/1.1 200 "));
    }
    eventually("all places are free", || is_free(&server));
    assert!(began.elapsed() < TIMEOUT + SLACK, "{:?}", began.elapsed());
}

fn a_page_read_below_16_kib_per_second_is_cut_off(adapter: Adapter) {
    const SIZE: usize = 32 << 10;
    // The limit is two seconds for 32 KiB.
    const BOUND: Duration = Duration::from_millis(2_200);
    let server = server(adapter, SIZE).notsent_lowat(4096);
    let server = server.configure(|config| config.close_timeout = Duration::from_millis(200)).start();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let mut raw = Raw::from(TcpStream::from(socket));
    let began = Instant::now();
    raw.write(GET);
    raw.head();
    let mut read = 0;
    while !is_free(&server) {
        // About 5 KiB per second: each pause is far shorter than the write timeout.
        let_pass(Duration::from_millis(100));
        read += raw.read(&mut [0; 512]).unwrap_or(0);
    }
    assert!(read < SIZE, "it was read whole");
    let took = began.elapsed();
    assert!(took + Duration::from_millis(150) >= BOUND && took < BOUND + SLACK, "{took:?}");
}

fn a_large_page_arrives_whole(adapter: Adapter) {
    let server = server(adapter, 5 << 20).start();
    let mut raw = Raw::connect(server.address());
    raw.write(GET);
    assert_eq!(raw.reply().body.len(), 5 << 20);
    raw = Raw::connect(server.address());
    raw.write(GET.replace("GET", "HEAD"));
    assert_eq!(raw.reply().body.len(), 0);
}

fn a_large_page_arrives_whole_by_tls(adapter: Adapter) {
    let server = server(adapter, 5 << 20).tls(Authority::shared().server().serving()).start();
    let mut raw = RawTls::connect(server.address(), &[]);
    raw.write(GET);
    assert!(raw.head().starts_with("HTTP/1.1 200 "));
    let mut body = Vec::new();
    raw.read_to_end(&mut body).unwrap();
    assert_eq!(body.len(), 5 << 20);
    // The server still serves others.
    let url = format!("wss://{}/", server.address());
    let mut client = Client::new(adapter, &url).tls(Authority::shared().trusted()).connect().unwrap();
    client.send("hello").unwrap();
    assert_eq!(client.message(), "hello");
}
