//! ws-smol over streams of the application: bytes that arrived with the upgrade, and TLS of futures-rustls, which
//! buffers.

use std::{
    io, mem,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};
use smol::{
    Async, block_on,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
};
use ws_smol::{
    Clock, CloseCode, Error, HandshakeConfig, OriginPolicy, WebSocket,
    ws_core::{
        Config, Keepalive,
        client::Request,
        server::{Accept, Handshake},
    },
};
use ws_tests::{
    Raw, RawListener, Transport, bounded,
    certificates::Authority,
    either::answer_each_message,
    link::{Link, connect_with_small_buffer, listen_with_small_buffer},
    wire::{self, Frame},
};

/// Answers the opening handshake on a stream. Bytes behind the request go to the WebSocket with the stream.
async fn upgrade(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    config: Config,
) -> WebSocket {
    let (clock, config) = (Clock::start(), Arc::new(config));
    let mut handshake = Handshake::new(&HandshakeConfig::default(), clock.now());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the client has gone");
        let mut input = &mut buffer[..read];
        if let Some(request) = handshake.receive(&mut input).unwrap() {
            let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
            let connection = upgrade.accept(&Accept::new(), config.clone(), clock.now()).unwrap();
            return WebSocket::from_upgraded(stream, connection, clock, input.to_vec());
        }
    }
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.receive().await? {
        ws.feed(message).await?;
    }
    Ok(())
}

fn accept(listener: &TcpListener) -> Async<TcpStream> {
    Async::new(listener.accept().unwrap().0).unwrap()
}

#[test]
fn messages_that_came_with_the_upgrade_request_are_received() {
    bounded(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut raw = Raw::connect(listener.local_addr().unwrap());
        let mut hasty = wire::request("/", &[]).into_bytes();
        for text in ["one", "two"] {
            hasty.extend(Frame::text(text).masked().encode());
        }
        hasty.extend(Frame::close(1000, "").masked().encode());
        raw.write(hasty);
        let serving = thread::spawn(move || {
            block_on(async { echo(upgrade(accept(&listener), Config::default()).await).await })
        });
        raw.head();
        assert_eq!(raw.frame(), Frame::text("one"));
        assert_eq!(raw.frame(), Frame::text("two"));
        assert_eq!(raw.frame().code_and_reason().0, 1000);
        assert_eq!(raw.next_frame(), None);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_message_that_came_with_the_response_is_received() {
    bounded(|| {
        let listener = RawListener::new();
        let address = listener.address();
        let client = thread::spawn(move || {
            let stream = block_on(Async::<TcpStream>::connect(address)).unwrap();
            let request = Request::new(format!("ws://{address}/").parse().unwrap());
            block_on(async {
                let mut ws =
                    WebSocket::client(stream, &request, &HandshakeConfig::default(), Config::default())
                        .await
                        .unwrap();
                ws.receive().await.unwrap()
            })
        });
        let mut raw = listener.accept();
        let head = raw.head();
        raw.write([wire::response(&head).as_bytes(), &Frame::text("glued").encode()].concat());
        assert_eq!(client.join().unwrap().unwrap(), "glued");
    });
}

/// A stream that closes only at the second call.
struct SlowToClose {
    stream: Async<TcpStream>,
    begun: bool,
    closed: Arc<AtomicBool>,
}

impl AsyncRead for SlowToClose {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SlowToClose {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !mem::replace(&mut self.begun, true) {
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake());
            return Poll::Pending;
        }
        self.closed.store(true, SeqCst);
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[test]
fn receive_ends_when_the_stream_has_sent_its_last_bytes() {
    bounded(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut raw = Raw::connect(listener.local_addr().unwrap());
        raw.write([wire::request("/", &[]).as_bytes(), &Frame::close(1000, "").masked().encode()].concat());
        let closed = Arc::new(AtomicBool::new(false));
        let stream = SlowToClose { stream: accept(&listener), begun: false, closed: closed.clone() };
        block_on(async {
            let mut ws = upgrade(stream, Config::default()).await;
            assert_eq!(ws.receive().await.unwrap(), None);
        });
        assert!(closed.load(SeqCst));
        raw.head();
        assert_eq!(raw.frame().code_and_reason().0, 1000);
        assert_eq!(raw.next_frame(), None);
    });
}

fn acceptor() -> TlsAcceptor {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let identity = Authority::shared().server();
        let chain =
            CertificateDer::pem_slice_iter(identity.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    });
    config.clone().into()
}

fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(Authority::shared().pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth()).into()
}

/// Serves the next client with TLS of futures-rustls.
fn serve<F: Future<Output = Result<(), Error>>>(
    listener: TcpListener,
    config: Config,
    handler: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> JoinHandle<Result<(), Error>> {
    thread::spawn(move || {
        block_on(async {
            let stream = acceptor().accept(accept(&listener)).await.unwrap();
            handler(upgrade(stream, config).await).await
        })
    })
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = listen_with_small_buffer();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn every_message_is_answered_before_a_close_over_futures_rustls() {
    bounded(|| {
        for count in [50_u8, 200] {
            let (listener, address) = listen();
            let serving = serve(listener, Config::default(), echo);
            Link::open_with_small_buffer(address, Transport::Tls).expect_echoes_before_close(count);
            serving.join().unwrap().unwrap();
        }
    });
}

#[test]
fn a_large_answer_arrives_whole_before_the_close_over_futures_rustls() {
    bounded(|| {
        const MUCH: usize = 16 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(listener, Config::default(), |ws| answer_each_message(ws, MUCH));
        Link::open(address, Transport::Tls).expect_answer_before_close(MUCH);
        serving.join().unwrap().unwrap();
    });
}

/// Sets the keepalive and write timeouts to a fortieth of the defaults.
fn impatient() -> Config {
    const SHORT: Duration = Duration::from_millis(500);
    let mut keepalive = Keepalive::default();
    (keepalive.interval, keepalive.timeout) = (SHORT, SHORT);
    let mut config = Config::default();
    (config.keepalive, config.write_timeout) = (Some(keepalive), Some(SHORT));
    config
}

#[test]
fn a_client_that_reads_slowly_gets_a_large_answer_over_futures_rustls() {
    bounded(|| {
        const MUCH: usize = 2 << 20;
        let (listener, address) = listen();
        let serving = serve(listener, impatient(), |ws| answer_each_message(ws, MUCH));
        Link::open_with_small_buffer(address, Transport::Tls).expect_answer_slowly(MUCH, 1_500_000);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_client_over_futures_rustls_sends_everything_before_its_close() {
    bounded(|| {
        const MUCH: usize = 4 << 20;
        let (listener, address) = listen();
        let mut config = Config::default();
        config.max_message_size = MUCH;
        let serving = serve(listener, config, |mut ws| async move {
            let mut sizes = Vec::new();
            while let Some(message) = ws.receive().await? {
                sizes.push(message.len());
            }
            assert_eq!(sizes, [MUCH, 3]);
            Ok(())
        });
        block_on(async {
            let stream = Async::new(connect_with_small_buffer(address)).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector().connect(name, stream).await.unwrap();
            let request = Request::new(format!("wss://{address}/").parse().unwrap());
            let mut ws = WebSocket::client(stream, &request, &HandshakeConfig::default(), Config::default())
                .await
                .unwrap();
            ws.feed(vec![7; MUCH]).await.unwrap();
            ws.feed("end").await.unwrap();
            ws.close(CloseCode::NORMAL_CLOSURE, "").await.unwrap();
            assert!(ws.close_info().unwrap().was_clean);
        });
        serving.join().unwrap().unwrap();
    });
}
