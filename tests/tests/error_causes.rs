//! Each cause of an error, on both adapters: the same cause is the same variant with the same text.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener},
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use socket2::{Domain, Type};
use ws_std::{ClientTls, CloseCode, Error, Keepalive, OriginPolicy, ServerTls, ws_core::Cause};
use ws_tests::{
    Folder, PATIENCE, Raw, RawListener, Transport, bounded,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, Running, Server, WebSocket},
    eventually, kernel,
    link::Link,
    tls::RawTls,
    wire::{self, Frame},
};

/// Timeout that is waited for.
const SHORT: Duration = Duration::from_millis(150);

/// An error as an application sees it, without the parts that differ from run to run.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    variant: String,
    text: String,
    transient: bool,
}

impl Seen {
    fn new(error: &Error, address: Option<SocketAddr>) -> Self {
        let mut text = error.to_string();
        if let Some(address) = address {
            text = text.replace(&address.to_string(), "ADDRESS");
        }
        Self { variant: variant(error), text, transient: error.is_transient() }
    }
}

impl From<Error> for Seen {
    fn from(error: Error) -> Self {
        Self::new(&error, None)
    }
}

/// Returns the variant and the one below it.
fn variant(error: &Error) -> String {
    let name = |inner: &dyn std::fmt::Debug| {
        let inner = format!("{inner:?}");
        inner.split(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default().to_owned()
    };
    let of_cause = |cause| match cause {
        Cause::Timeout(timeout) => format!("Timeout({timeout:?})"),
        cause => name(&cause),
    };
    match error {
        Error::Io(error) => format!("Io({:?})", error.kind()),
        Error::Handshake(error) => format!("Handshake({})", name(error)),
        Error::Tls(error) => format!("Tls({})", name(error)),
        Error::Protocol(error) => format!("Protocol({})", name(error)),
        Error::Closed(close_info) => format!("Closed({})", of_cause(close_info.cause)),
        Error::Disconnected(close_info) => format!("Disconnected({})", of_cause(close_info.cause)),
        other => format!("{other:?}"),
    }
}

/// Checks that a cause is the same error on both adapters. A text that ends with ".." is the beginning of the expected one.
fn check(produce: fn(Adapter) -> Seen, variant: &str, text: &str, transient: bool) {
    let [std, smol] = [Adapter::Std, Adapter::Smol].map(produce);
    assert_eq!(std, smol, "the adapters differ");
    let text_fits = match text.strip_suffix("..") {
        Some(beginning) => std.text.starts_with(beginning),
        None => std.text == text,
    };
    assert!(text_fits && std.variant == variant && std.transient == transient, "{std:?}");
}

/// Makes one test of each cause.
macro_rules! causes {
    ($($name:ident: $variant:literal, $text:expr, $transient:ident;)*) => {
        /// What a reconnecting client makes of an error.
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Retry { Transient, Lasting }

        mod cause {
            use super::*;

            $(
                #[test]
                fn $name() {
                    bounded(|| check(super::$name, $variant, $text, Retry::$transient == Retry::Transient));
                }
            )*
        }
    };
}

causes! {
    a_connection_that_is_refused: "Io(ConnectionRefused)",
        "cannot connect to ADDRESS: Connection refused (os error 111)", Transient;
    a_host_that_cannot_be_resolved: "Io(Uncategorized)", "cannot resolve the host \"xxx..", Transient;
    a_socket_that_is_not_there: "Io(NotFound)",
        "cannot connect to /no/such/socket: No such file or directory (os error 2)", Transient;
    a_server_that_accepts_no_connection: "Timeout(Connect)",
        "the server did not accept the connection within connect_timeout", Transient;
    a_text_that_is_no_url: "Url(Scheme)", "the URL does not begin with ws:// or wss://..", Lasting;

    a_server_that_closes_at_once: "Handshake(Eof)", EARLY_END, Transient;
    a_server_that_resets_at_once: "Handshake(Eof)", EARLY_END, Transient;
    a_server_that_resets_after_the_request: "Handshake(Eof)", EARLY_END, Transient;
    a_server_that_closes_without_reading_the_request: "Handshake(Eof)", EARLY_END, Transient;
    a_server_that_ends_within_its_response: "Handshake(Eof)", EARLY_END, Transient;
    a_tls_server_that_ends_within_the_handshake: "Handshake(Eof)", EARLY_END, Transient;
    a_tls_server_that_ends_before_its_response: "Handshake(Eof)", EARLY_END, Transient;
    a_tls_server_that_resets_before_its_response: "Handshake(Eof)", EARLY_END, Transient;
    a_server_that_is_silent: "Handshake(Timeout)", OPEN_TIMEOUT, Transient;
    a_tls_server_that_is_silent: "Handshake(Timeout)", OPEN_TIMEOUT, Transient;
    a_server_that_reads_nothing: "Handshake(Timeout)", OPEN_TIMEOUT, Transient;
    a_server_that_speaks_another_protocol: "Handshake(NotHttp)",
        "the opening handshake failed: the server does not speak HTTP, it answered \"SSH-2.0-OpenSSH_9.6\": the port in the URL is that of another \
         service", Lasting;
    a_tls_server_behind_ws: "Handshake(TlsRecord)", "the opening handshake failed: the peer speaks TLS where HTTP without TLS was expected: ..", Lasting;

    a_redirect: "Handshake(Refused)",
        "the opening handshake failed: the server refused the WebSocket and answered 302 Found with the location \"https://example.com/\": connect to \
         that address if it is the right one, because redirects are not followed", Lasting;
    a_refusal_that_demands_credentials: "Handshake(Refused)",
        "the opening handshake failed: the server refused the WebSocket and answered 401 Unauthorized: send credentials that it accepts, such as a \
         header Authorization", Lasting;
    a_refusal_of_the_path: "Handshake(Refused)",
        "the opening handshake failed: the server refused the WebSocket and answered 404 Not Found: check the host and the path of the URL", Lasting;
    a_refusal_of_a_server_that_is_overloaded: "Handshake(Refused)",
        "the opening handshake failed: the server refused the WebSocket and answered 503 Service Unavailable: try again later", Transient;
    a_refusal_without_reading_the_request: "Handshake(Refused)",
        "the opening handshake failed: the server refused the WebSocket and answered 503 Service Unavailable: try again later", Transient;
    a_refusal_over_tls_without_its_end: "Handshake(Refused)",
        "the opening handshake failed: the server refused the WebSocket and answered 502 Bad Gateway: try again later", Transient;

    a_plain_server_behind_wss: "Tls(NotTls)",
        "the peer does not speak TLS: connect with ws:// to a server without TLS, and with wss:// to one with TLS", Lasting;
    a_certificate_of_another_name: "Tls(WrongName)",
        "the server's certificate is for elsewhere.test and not for 127.0.0.1: use a name of the certificate in the URL, \
         or expect it with ClientTls::server_name", Lasting;
    a_certificate_that_has_expired: "Tls(Expired)", "the peer's certificate has expired: ..", Lasting;
    a_certificate_that_is_not_valid_yet: "Tls(NotValidYet)", "the peer's certificate is not valid yet: ..", Lasting;
    a_certificate_of_an_unknown_authority: "Tls(UnknownAuthority)",
        "the peer's certificate comes from an authority that is not trusted here: ..", Lasting;
    the_certificate_of_an_authority: "Tls(AuthorityAsPeer)",
        "the peer sent the certificate of an authority (CA:TRUE), which `openssl req -x509` creates: sign a certificate \
         for the peer with it, ..", Lasting;
    a_certificate_that_the_server_demands: "Tls(Refused)",
        "the peer refused the TLS connection (CertificateRequired): it requires a certificate, and this end sent none",
        Lasting;
    a_ca_file_without_a_certificate: "Tls(Pem)", "there is no certificate in FILE: ..", Lasting;

    a_client_whose_server_ends_without_a_close: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_client_whose_tls_server_ends_without_a_close: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_client_whose_server_ends_within_a_frame: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_client_whose_tls_server_ends_within_a_frame: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_client_whose_tls_server_ends_within_a_record: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_client_whose_server_resets: "Io(ConnectionReset)", RESET, Transient;
    a_client_whose_tls_server_resets: "Io(ConnectionReset)", RESET, Transient;
    a_server_whose_client_ends_without_a_close: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_server_whose_tls_client_ends_without_a_close: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_server_whose_client_ends_within_a_frame: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_server_whose_tls_client_ends_within_a_frame: "Disconnected(Eof)", NO_CLOSE, Transient;
    a_server_whose_client_resets: "Io(ConnectionReset)", RESET, Transient;
    a_server_whose_tls_client_resets: "Io(ConnectionReset)", RESET, Transient;

    a_peer_that_sends_no_message: "Timeout(Read)", "the peer sent no message within read_timeout", Transient;
    a_peer_that_reads_nothing: "Timeout(Write)",
        "the peer did not read the sent bytes within write_timeout", Transient;
    a_peer_that_answers_no_pings: "Disconnected(Timeout(Keepalive))",
        "the connection was given up: the peer did not answer the pings of keepalive in time, code 1006 abnormal closure",
        Transient;
    a_peer_that_stops_within_a_message: "Disconnected(Timeout(Stall))",
        "the connection was given up: the peer began a message and sent no more of it within stall_timeout, code 1008 ..",
        Transient;
    a_peer_that_does_not_answer_a_close: "Disconnected(Timeout(Close))",
        "the connection was given up: the peer did not finish the closing handshake within close_timeout, code 1006 \
         abnormal closure", Transient;
    a_peer_that_breaks_a_rule: "Protocol(MaskedFrame)",
        "this end failed the connection: the peer sent a frame with a mask, which a server must not use, see RFC 6455 \
         section 5.1", Lasting;
    a_message_beyond_the_limit: "Protocol(MessageTooLarge)",
        "this end failed the connection: the peer sent a message too large (1000 bytes, max_message_size or the free \
         memory allows 999), see RFC 6455 section 10.4", Lasting;
    a_close_that_asks_to_come_back: "Closed(Close)",
        "the connection was closed by the peer, code 1012 service restart (new version)", Transient;
    a_close_for_a_broken_policy: "Closed(Close)",
        "the connection was closed by the peer, code 1008 policy violation (no)", Lasting;

    a_request_that_ends_early: "Handshake(Eof)", EARLY_END, Transient;
    a_request_that_is_reset: "Handshake(Eof)", EARLY_END, Transient;
    a_request_over_tls_that_ends_early: "Handshake(Eof)", EARLY_END, Transient;
    a_request_that_does_not_come: "Handshake(Timeout)", OPEN_TIMEOUT, Transient;
    a_request_with_too_many_headers: "Handshake(TooManyHeaders)",
        "the opening handshake failed: the peer sent more than the 3 header fields that max_headers allows", Lasting;
    a_request_without_tls_to_a_tls_server: "Tls(NotTls)", "the peer does not speak TLS: ..", Lasting;
}

const EARLY_END: &str =
    "the opening handshake failed: the peer closed the stream during the opening handshake";
const OPEN_TIMEOUT: &str =
    "the opening handshake failed: the peer did not finish the opening handshake within open_timeout";
const NO_CLOSE: &str =
    "the connection was broken off: the peer's stream ended without a Close, code 1006 abnormal closure";
const RESET: &str = "Connection reset by peer (os error 104)";

// Clients that cannot connect.

fn a_connection_that_is_refused(adapter: Adapter) -> Seen {
    let listener = RawListener::new();
    let (url, address) = (listener.url("/"), listener.address());
    drop(listener);
    Seen::new(&Client::new(adapter, &url).connect().unwrap_err(), Some(address))
}

fn a_host_that_cannot_be_resolved(adapter: Adapter) -> Seen {
    // No label of a name may be longer than 63 bytes, so that no name server is asked.
    let url = format!("ws://{}.invalid/", "x".repeat(64));
    let mut seen: Seen = Client::new(adapter, &url).connect().unwrap_err().into();
    assert!(seen.text.contains(".invalid\" of the URL: "), "{seen:?}");
    // Systems differ in the kind of this error.
    seen.variant = "Io(Uncategorized)".into();
    seen
}

fn a_socket_that_is_not_there(adapter: Adapter) -> Seen {
    Client::new(adapter, "ws://localhost/").connect_unix("/no/such/socket").unwrap_err().into()
}

fn a_server_that_accepts_no_connection(adapter: Adapter) -> Seen {
    let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // They fill its queue.
    let _waiting = [(); 4].map(|()| {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        socket
    });
    let client = Client::new(adapter, &format!("ws://{address}/")).connect_timeout(SHORT);
    client.connect().unwrap_err().into()
}

fn a_text_that_is_no_url(adapter: Adapter) -> Seen {
    Client::new(adapter, "example.com").connect().unwrap_err().into()
}

/// Returns the error of a client if its server does this with the connection.
fn of_server(adapter: Adapter, scheme: &str, serve: fn(Raw)) -> Seen {
    of_client(scheme, serve, |url| Client::new(adapter, url))
}

fn of_client(scheme: &str, serve: fn(Raw), client: impl FnOnce(&str) -> Client) -> Seen {
    let listener = RawListener::new();
    let url = format!("{scheme}://{}/", listener.address());
    let client = client(&url).tls(Authority::shared().trusted());
    let serving = thread::spawn(move || serve(listener.accept()));
    let error = client.connect().unwrap_err();
    serving.join().unwrap();
    error.into()
}

fn a_server_that_closes_at_once(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", drop)
}

fn a_server_that_resets_at_once(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", Raw::reset)
}

fn a_server_that_resets_after_the_request(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |mut raw| {
        raw.head();
        raw.reset();
    })
}

/// Waits until the client has sent something that is not read.
fn await_unread(raw: &Raw) {
    let (here, there) = (raw.socket().local_addr().unwrap(), raw.socket().peer_addr().unwrap());
    eventually("bytes have come", || kernel::unread(here, there).is_some_and(|unread| unread > 0));
}

fn a_server_that_closes_without_reading_the_request(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |raw| await_unread(&raw))
}

fn a_server_that_ends_within_its_response(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |mut raw| {
        raw.head();
        raw.write("HTTP/1.1 101 Switching Protocols\r\nUpgr");
    })
}

fn a_tls_server_that_ends_within_the_handshake(adapter: Adapter) -> Seen {
    of_server(adapter, "wss", |mut raw| drop(raw.read(&mut [0; 4096])))
}

/// Returns the error of a client of a TLS server that does this after its handshake.
fn of_tls_server(adapter: Adapter, serve: fn(RawTls)) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut raw = RawTls::accept_tls(&listener, &Authority::shared().server());
        raw.head();
        serve(raw);
    });
    let error = Client::new(adapter, &url).tls(Authority::shared().trusted()).connect().unwrap_err();
    serving.join().unwrap();
    error.into()
}

fn a_tls_server_that_ends_before_its_response(adapter: Adapter) -> Seen {
    of_tls_server(adapter, drop)
}

fn a_tls_server_that_resets_before_its_response(adapter: Adapter) -> Seen {
    of_tls_server(adapter, |raw| Raw::from(raw.socket().try_clone().unwrap()).reset())
}

fn until_the_end(mut raw: Raw) {
    let _ = raw.rest();
}

fn impatient(client: Client) -> Client {
    client.configure_handshake(|limits| limits.open_timeout = Some(SHORT))
}

fn a_server_that_is_silent(adapter: Adapter) -> Seen {
    of_client("ws", until_the_end, |url| impatient(Client::new(adapter, url)))
}

fn a_tls_server_that_is_silent(adapter: Adapter) -> Seen {
    of_client("wss", until_the_end, |url| impatient(Client::new(adapter, url)))
}

fn a_server_that_reads_nothing(adapter: Adapter) -> Seen {
    let listener = RawListener::new();
    // More than the kernel holds.
    let client = Client::new(adapter, &listener.url("/")).header("X-Large", &"x".repeat(32 << 20));
    let client = client.write_timeout(SHORT / 2);
    impatient(client).connect().unwrap_err().into()
}

fn a_server_that_speaks_another_protocol(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |raw| {
        raw.write("SSH-2.0-OpenSSH_9.6\r\n");
        until_the_end(raw);
    })
}

fn secure(adapter: Adapter, tls: ServerTls) -> Running {
    Server::new(adapter).mount("/", Route::echo(adapter)).tls(tls).start()
}

fn a_tls_server_behind_ws(adapter: Adapter) -> Seen {
    let server = secure(adapter, Authority::shared().server().serving());
    Client::new(adapter, &format!("ws://{}/", server.address())).connect().unwrap_err().into()
}

fn refuse(mut raw: Raw, status: &str) {
    raw.head();
    raw.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
}

fn a_redirect(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |raw| refuse(raw, "302 Found\r\nLocation: https://example.com/"))
}

fn a_refusal_that_demands_credentials(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |raw| refuse(raw, "401 Unauthorized"))
}

fn a_refusal_of_the_path(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |raw| refuse(raw, "404 Not Found"))
}

fn a_refusal_of_a_server_that_is_overloaded(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |raw| refuse(raw, "503 Service Unavailable"))
}

fn a_refusal_without_reading_the_request(adapter: Adapter) -> Seen {
    of_server(adapter, "ws", |raw| {
        await_unread(&raw);
        raw.write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    })
}

fn a_refusal_over_tls_without_its_end(adapter: Adapter) -> Seen {
    // As nginx does, which sends no `close_notify`.
    of_tls_server(adapter, |mut raw| raw.write("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\n"))
}

// TLS.

fn a_plain_server_behind_wss(adapter: Adapter) -> Seen {
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).start();
    of_tls(adapter, &server, Authority::shared().trusted())
}

fn of_tls(adapter: Adapter, server: &Running, tls: ClientTls) -> Seen {
    Client::new(adapter, &format!("wss://{}/", server.address())).tls(tls).connect().unwrap_err().into()
}

fn a_certificate_of_another_name(adapter: Adapter) -> Seen {
    let server = secure(adapter, Authority::shared().server_named(&["elsewhere.test"]).serving());
    of_tls(adapter, &server, Authority::shared().trusted())
}

fn a_certificate_that_has_expired(adapter: Adapter) -> Seen {
    let server = secure(adapter, Authority::shared().expired_server().serving());
    of_tls(adapter, &server, Authority::shared().trusted())
}

fn a_certificate_that_is_not_valid_yet(adapter: Adapter) -> Seen {
    let server = secure(adapter, Authority::shared().early_server().serving());
    of_tls(adapter, &server, Authority::shared().trusted())
}

fn a_certificate_of_an_unknown_authority(adapter: Adapter) -> Seen {
    let server = secure(adapter, Authority::shared().server().serving());
    of_tls(adapter, &server, Authority::new().trusted())
}

fn the_certificate_of_an_authority(adapter: Adapter) -> Seen {
    let server = secure(adapter, Authority::shared().own_identity().serving());
    of_tls(adapter, &server, Authority::shared().trusted())
}

fn a_certificate_that_the_server_demands(adapter: Adapter) -> Seen {
    let tls = Authority::shared().server().serving();
    let server = secure(adapter, tls.require_clients_from(Authority::shared().pem().as_bytes()));
    of_tls(adapter, &server, Authority::shared().trusted())
}

fn a_ca_file_without_a_certificate(adapter: Adapter) -> Seen {
    let folder = Folder::new();
    let file = folder.file("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let server = secure(adapter, Authority::shared().server().serving());
    let mut seen = of_tls(adapter, &server, ClientTls::new().ca_file(&file));
    seen.text = seen.text.replace(&file.display().to_string(), "FILE");
    seen
}

// Open connections.

/// A client of a raw server.
fn client_of_raw(client: impl FnOnce(&str) -> Client) -> (WebSocket, Raw) {
    let listener = RawListener::new();
    let client = client(&listener.url("/"));
    let accepting = thread::spawn(move || listener.open().0);
    let ws = client.connect().unwrap();
    (ws, accepting.join().unwrap())
}

fn client_of_raw_tls(adapter: Adapter) -> (WebSocket, RawTls) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let accepting = thread::spawn(move || RawTls::accept(&listener, &Authority::shared().server()));
    let ws = Client::new(adapter, &url).tls(Authority::shared().trusted()).connect().unwrap();
    (ws, accepting.join().unwrap())
}

/// Returns the error of a client if its server does this.
fn of_open(adapter: Adapter, act: impl FnOnce(Raw)) -> Seen {
    let (mut ws, raw) = client_of_raw(|url| Client::new(adapter, url));
    act(raw);
    ws.receive().unwrap_err().into()
}

fn of_open_tls(adapter: Adapter, act: impl FnOnce(RawTls)) -> Seen {
    let (mut ws, raw) = client_of_raw_tls(adapter);
    act(raw);
    ws.receive().unwrap_err().into()
}

/// The beginning of a frame, as a server sends it.
const BEGUN: [u8; 5] = [0x81, 100, b'c', b'u', b't'];

fn a_client_whose_server_ends_without_a_close(adapter: Adapter) -> Seen {
    of_open(adapter, drop)
}

fn a_client_whose_tls_server_ends_without_a_close(adapter: Adapter) -> Seen {
    of_open_tls(adapter, drop)
}

fn a_client_whose_server_ends_within_a_frame(adapter: Adapter) -> Seen {
    of_open(adapter, |raw| raw.write(BEGUN))
}

fn a_client_whose_tls_server_ends_within_a_frame(adapter: Adapter) -> Seen {
    of_open_tls(adapter, |mut raw| raw.write(BEGUN))
}

fn a_client_whose_tls_server_ends_within_a_record(adapter: Adapter) -> Seen {
    of_open_tls(adapter, |mut raw| {
        let record = raw.seal(Frame::text("cut").encode());
        raw.socket().write_all(&record[..record.len() - 3]).unwrap();
    })
}

fn a_client_whose_server_resets(adapter: Adapter) -> Seen {
    of_open(adapter, Raw::reset)
}

fn a_client_whose_tls_server_resets(adapter: Adapter) -> Seen {
    of_open_tls(adapter, |raw| Raw::from(raw.socket().try_clone().unwrap()).reset())
}

/// Returns the error of a server if its client does this.
fn of_served(adapter: Adapter, transport: Transport, act: impl FnOnce(Link)) -> Seen {
    let (route, take) = Route::hand_over(adapter);
    let server = Pairing::of(adapter, transport).serve(route).start();
    let link = Link::open(server.address(), transport);
    let mut handed = take();
    act(link);
    handed.ws.receive().unwrap_err().into()
}

fn a_server_whose_client_ends_without_a_close(adapter: Adapter) -> Seen {
    of_served(adapter, Transport::Plain, drop)
}

fn a_server_whose_tls_client_ends_without_a_close(adapter: Adapter) -> Seen {
    of_served(adapter, Transport::Tls, drop)
}

/// The beginning of a frame, as a client sends it.
fn begun() -> Vec<u8> {
    let mut bytes = Frame::text("cut off").masked().encode();
    bytes.truncate(bytes.len() - 3);
    bytes
}

fn a_server_whose_client_ends_within_a_frame(adapter: Adapter) -> Seen {
    of_served(adapter, Transport::Plain, |mut link| link.write(begun()))
}

fn a_server_whose_tls_client_ends_within_a_frame(adapter: Adapter) -> Seen {
    of_served(adapter, Transport::Tls, |mut link| link.write(begun()))
}

fn reset(link: Link) {
    match link {
        Link::Plain(raw) => raw.reset(),
        Link::Tls(raw) => Raw::from(raw.socket().try_clone().unwrap()).reset(),
    }
}

fn a_server_whose_client_resets(adapter: Adapter) -> Seen {
    of_served(adapter, Transport::Plain, reset)
}

fn a_server_whose_tls_client_resets(adapter: Adapter) -> Seen {
    of_served(adapter, Transport::Tls, reset)
}

fn a_peer_that_sends_no_message(adapter: Adapter) -> Seen {
    let (mut ws, _raw) = client_of_raw(|url| Client::new(adapter, url).read_timeout(SHORT));
    ws.receive().unwrap_err().into()
}

fn a_peer_that_reads_nothing(adapter: Adapter) -> Seen {
    let (ws, _raw) = client_of_raw(|url| Client::new(adapter, url).write_timeout(SHORT));
    ws.send(vec![0; 32 << 20]).unwrap_err().into()
}

fn configured(adapter: Adapter, url: &str) -> Client {
    Client::new(adapter, url).configure(|config| {
        config.keepalive = None;
        config.stall_timeout = Some(SHORT);
        config.close_timeout = SHORT;
        config.max_message_size = 999;
    })
}

fn a_peer_that_answers_no_pings(adapter: Adapter) -> Seen {
    let keepalive = Keepalive { interval: SHORT, timeout: SHORT, max_missed: Some(1) };
    let (mut ws, _raw) =
        client_of_raw(|url| Client::new(adapter, url).configure(|config| config.keepalive = Some(keepalive)));
    ws.receive().unwrap_err().into()
}

fn a_peer_that_stops_within_a_message(adapter: Adapter) -> Seen {
    let (mut ws, raw) = client_of_raw(|url| configured(adapter, url));
    raw.write(BEGUN);
    ws.receive().unwrap_err().into()
}

fn a_peer_that_does_not_answer_a_close(adapter: Adapter) -> Seen {
    let (mut ws, _raw) = client_of_raw(|url| configured(adapter, url));
    ws.sender().close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    ws.receive().unwrap_err().into()
}

fn a_peer_that_breaks_a_rule(adapter: Adapter) -> Seen {
    of_open(adapter, |raw| {
        raw.send(Frame::text("masked"));
        thread::spawn(move || until_the_end(raw));
    })
}

fn a_message_beyond_the_limit(adapter: Adapter) -> Seen {
    let (mut ws, raw) = client_of_raw(|url| configured(adapter, url));
    raw.send_unmasked(&Frame::text(&"x".repeat(1000)));
    ws.receive().unwrap_err().into()
}

fn a_close_that_asks_to_come_back(adapter: Adapter) -> Seen {
    of_open(adapter, |raw| raw.send_unmasked(&Frame::close(1012, "new version")))
}

fn a_close_for_a_broken_policy(adapter: Adapter) -> Seen {
    of_open(adapter, |raw| raw.send_unmasked(&Frame::close(1008, "no")))
}

// Opening handshakes of a server, as its error hook receives them.

fn of_request(server: Server, act: impl FnOnce(&Running)) -> Seen {
    let (tell, seen) = mpsc::channel();
    let tell = Mutex::new(tell);
    let server = server.on_error(move |error| {
        let error = error.error.downcast_ref::<Error>().map(|error| Seen::new(error, None));
        let _ = tell.lock().unwrap().send(error);
    });
    let server = server.start();
    act(&server);
    seen.recv_timeout(PATIENCE).expect("an error").expect("an error of the connection")
}

fn serving(adapter: Adapter) -> Server {
    Server::new(adapter).mount("/", Route::echo(adapter)).configure_handshake(|limits| limits.max_headers = 3)
}

fn a_request_that_ends_early(adapter: Adapter) -> Seen {
    of_request(serving(adapter), |server| {
        Raw::connect(server.address()).write("GET / HTTP/1.1\r\nHos");
    })
}

fn a_request_that_is_reset(adapter: Adapter) -> Seen {
    of_request(serving(adapter), |server| {
        let raw = Raw::connect(server.address());
        raw.write_and_see_read("GET / HTTP/1.1\r\nHos");
        raw.reset();
    })
}

fn a_request_over_tls_that_ends_early(adapter: Adapter) -> Seen {
    of_request(serving(adapter).tls(Authority::shared().server().serving()), |server| {
        let mut raw = RawTls::connect(server.address(), &["http/1.1"]);
        raw.write("GET / HTTP/1.1\r\nHos");
        raw.end_without_notify();
    })
}

fn a_request_that_does_not_come(adapter: Adapter) -> Seen {
    let server = serving(adapter).configure_handshake(|limits| limits.open_timeout = Some(SHORT));
    of_request(server, |server| {
        let mut raw = Raw::connect(server.address());
        assert_eq!(raw.reply().status, 408);
    })
}

fn a_request_with_too_many_headers(adapter: Adapter) -> Seen {
    of_request(serving(adapter), |server| {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request("/", &[]));
        assert_eq!(raw.reply().status, 431);
    })
}

fn a_request_without_tls_to_a_tls_server(adapter: Adapter) -> Seen {
    of_request(serving(adapter).tls(Authority::shared().server().serving()), |server| {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request("/", &[]));
        let _ = raw.rest();
    })
}

/// A server's log holds the reason of a refusal, not its status alone.
#[test]
fn a_foreign_origin_is_reported_with_both_names_and_the_option() {
    bounded(|| {
        for adapter in [Adapter::Std, Adapter::Smol] {
            let (tell, seen) = mpsc::channel();
            let tell = Mutex::new(tell);
            let route = Route::echo(adapter).origin(OriginPolicy::SameHost);
            let server = Server::new(adapter).mount("/", route).on_error(move |error| {
                let _ = tell.lock().unwrap().send(error.to_string());
            });
            let server = server.start();
            let mut raw = Raw::connect(server.address());
            raw.write(wire::request("/", &["Origin: https://app.example"]));
            let reply = raw.reply();
            assert_eq!(reply.status, 403);
            let text = seen.recv_timeout(PATIENCE).unwrap();
            for (part, of) in [
                ("403 Forbidden", &text),
                ("OriginPolicy::OneOf", &text),
                ("OriginPolicy::OneOf", &reply.body),
            ] {
                assert!(of.contains(part), "{of}");
                assert!(of.contains("https://app.example"), "{of}");
            }
            assert!(!text.contains('\n') && !text.ends_with('.'), "{text:?}");
        }
    });
}
