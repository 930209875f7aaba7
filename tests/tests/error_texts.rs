//! The texts of all errors: one line, without the text of the source, with the setting of a limit.

use std::{error, io};

use ws_std::{
    ConnectionErrorKind, Error, HandshakeError, ProtocolError, ProxyError, RedirectProblem, Response,
    SendError, TimeoutKind, TlsError, UrlError,
    ws_core::{CloseCode, Config, Connection, RouteError, Timestamp},
};
use ws_tests::{
    Raw, bounded,
    either::{Adapter, Route, Server},
    wire::Frame,
};
use ws_transport::tls::rustls;

fn protocol_errors() -> Vec<ProtocolError> {
    vec![
        ProtocolError::ReservedBits,
        ProtocolError::ReservedOpcode(11),
        ProtocolError::FragmentedControlFrame,
        ProtocolError::ControlFrameTooLong,
        ProtocolError::NonMinimalLength,
        ProtocolError::LengthOverflow,
        ProtocolError::UnmaskedFrame,
        ProtocolError::MaskedFrame,
        ProtocolError::UnexpectedContinuation,
        ProtocolError::InterruptedMessage,
        ProtocolError::InvalidUtf8,
        ProtocolError::ClosePayloadTooShort,
        ProtocolError::InvalidCloseCode(CloseCode::new(1005)),
        ProtocolError::InvalidCloseReason,
        ProtocolError::FrameTooLarge { size: 2, limit: 1 },
        ProtocolError::MessageTooLarge { size: 2, limit: 1 },
        ProtocolError::TooManyFragments { limit: 1 },
        ProtocolError::InvalidCompression,
        ProtocolError::CompressionRatio { limit: 1 },
    ]
}

fn send_errors() -> Vec<SendError> {
    vec![
        SendError::Closed,
        SendError::BufferFull,
        SendError::MessageInProgress,
        SendError::ChunkSkipped,
        SendError::WrongKind,
        SendError::ControlPayloadTooLong(126),
        SendError::InvalidCloseCode(CloseCode::new(1005)),
        SendError::CloseReasonTooLong(124),
    ]
}

fn handshake_errors() -> Vec<HandshakeError> {
    let refused = |status| HandshakeError::Refused(Box::new(Response::new(status).text("Not\nnow.\n")));
    let redirect = Response::new(302).header("Location", "https://example.com/");
    let mut errors: Vec<_> = [200, 400, 401, 403, 404, 407, 410, 426, 429, 500, 503].map(refused).into();
    errors.extend([
        HandshakeError::Refused(Box::new(redirect.clone())),
        HandshakeError::MalformedHead("it ends too early"),
        HandshakeError::TlsRecord,
        HandshakeError::NotHttp { beginning: "SSH-2.0".into() },
        HandshakeError::FirstLineTooLong { limit: 1 },
        HandshakeError::HeadTooLarge { limit: 1 },
        HandshakeError::TooManyHeaders { limit: 1 },
        HandshakeError::MissingHeader("Host"),
        HandshakeError::DuplicateHeader("Host"),
        HandshakeError::InvalidHeader("Host"),
        HandshakeError::MalformedProxyHeader("it is too long"),
        HandshakeError::Timeout,
        HandshakeError::Eof,
        HandshakeError::MethodNotAllowed,
        HandshakeError::NotAnUpgrade,
        HandshakeError::UpgradeInHttp10,
        HandshakeError::UnsupportedVersion,
        HandshakeError::UnsupportedProtocol,
        HandshakeError::UnexpectedBody,
        HandshakeError::OriginRefused { origin: "http://a\n".into(), target: "b".into() },
        HandshakeError::UnofferedSubprotocol,
        HandshakeError::UnofferedExtension,
        HandshakeError::ExtensionParameter {
            value: "v\n".into(),
            parameter: "p".into(),
            problem: "is unknown",
        },
        HandshakeError::TooManyInterimResponses,
        HandshakeError::UnsendableHeader,
        HandshakeError::UnsendableSubprotocol,
        HandshakeError::SubprotocolNotOffered,
    ]);
    let problems = [
        RedirectProblem::TooMany { limit: 10 },
        RedirectProblem::GivesUpTls,
        RedirectProblem::MissingLocation,
        RedirectProblem::InvalidLocation(UrlError::Port),
    ];
    let redirected = |problem| HandshakeError::Redirect { response: Box::new(redirect.clone()), problem };
    errors.extend(problems.map(redirected));
    errors
}

fn proxy_errors() -> Vec<ProxyError> {
    let refused = |status| ProxyError::Refused(Box::new(Response::new(status).text("Not\nnow.\n")));
    let mut errors: Vec<_> = [302, 403, 404, 405, 407, 500, 502].map(refused).into();
    errors.extend([0, 1, 2, 3, 4, 5, 6, 7, 8, 255].map(ProxyError::SocksRefused));
    errors.extend([
        ProxyError::InvalidUrl("has no valid host"),
        ProxyError::Unsendable("the user is empty"),
        ProxyError::Eof,
        ProxyError::Head(Box::new(HandshakeError::NotHttp { beginning: "SSH-2.0".into() })),
        ProxyError::NotSocks,
        ProxyError::MalformedReply("an unknown kind of address"),
        ProxyError::CredentialsMissing,
        ProxyError::NoAcceptableMethod,
        ProxyError::CredentialsRefused,
    ]);
    errors
}

fn url_errors() -> Vec<UrlError> {
    vec![UrlError::Scheme, UrlError::Host, UrlError::Port, UrlError::Fragment, UrlError::ControlCharacter]
}

fn tls_errors() -> Vec<TlsError> {
    use rustls::AlertDescription as Alert;
    let mut errors: Vec<_> = [
        Alert::UnknownCA,
        Alert::CertificateRequired,
        Alert::CertificateExpired,
        Alert::BadCertificate,
        Alert::UnrecognisedName,
        Alert::ProtocolVersion,
        Alert::NoApplicationProtocol,
        Alert::HandshakeFailure,
    ]
    .map(TlsError::Refused)
    .into();
    errors.extend([
        TlsError::Expired,
        TlsError::NotValidYet,
        TlsError::WrongName { expected: Some("a".into()), presented: vec!["b\n".into(); 7] },
        TlsError::WrongName { expected: None, presented: vec![] },
        TlsError::UnknownAuthority,
        TlsError::AuthorityAsPeer,
        TlsError::InvalidCertificate(rustls::CertificateError::Revoked),
        TlsError::NoCertificate,
        TlsError::NotTls,
        TlsError::InvalidName("not a\nname".into()),
        TlsError::Pem("there is no certificate in ca.pem".into()),
        TlsError::Contradiction("a server name without a name"),
        TlsError::NoProvider,
        TlsError::NoRoots,
        TlsError::Other(rustls::Error::DecryptError),
    ]);
    errors
}

/// Errors of connections that ended in each way.
fn ends() -> Vec<Error> {
    let open = || Connection::client(Config::default().into(), [0; 32], Timestamp::ZERO);
    let mut cut = open();
    cut.receive_eof();
    let mut failed = open();
    failed.fail(CloseCode::INTERNAL_ERROR, "out\nof order").expect("a reason");
    let mut closed = open();
    let mut close = Frame::close(1013, "later").encode();
    while closed.receive(&mut &mut close[..]).is_ok_and(|event| event.is_some()) {}
    [cut, failed, closed].map(|connection| Error::of_end(connection.close_info().expect("an end"))).into()
}

fn errors() -> Vec<Error> {
    let mut errors = ends();
    errors.extend(protocol_errors().into_iter().map(Error::Protocol));
    errors.extend(send_errors().into_iter().map(Error::Send));
    errors.extend(handshake_errors().into_iter().map(Error::Handshake));
    errors.extend(url_errors().into_iter().map(Error::Url));
    errors.extend(tls_errors().into_iter().map(Error::Tls));
    errors.extend(tls_errors().into_iter().map(Error::ProxyTls));
    errors.extend(proxy_errors().into_iter().map(Error::Proxy));
    errors
        .extend([RouteError::Malformed("a\n".into()), RouteError::Duplicate("/a".into())].map(Error::Route));
    errors.extend([TimeoutKind::Connect, TimeoutKind::Read, TimeoutKind::Write].map(Error::Timeout));
    errors.extend(
        [TimeoutKind::Resolve, TimeoutKind::Proxy, TimeoutKind::Tls, TimeoutKind::Total].map(Error::Timeout),
    );
    errors.extend([
        io::Error::from_raw_os_error(104).into(),
        io::Error::other(UrlError::Scheme).into(),
        Error::of_resolve("host.invalid", &io::Error::other("no such name")),
        Error::of_resolve_proxy("host.invalid", &io::Error::other("no such name")),
        Error::of_no_address("host.invalid"),
        Error::Cancelled,
        Error::of_connect("127.0.0.1:1", &io::ErrorKind::ConnectionRefused.into()),
    ]);
    errors
}

/// Checks an error and each of its sources.
fn check(error: &(dyn error::Error + 'static)) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= 1000, "{} bytes: {text}", text.len());
    assert!(!text.chars().any(char::is_control), "{text:?} is more than one line");
    assert!(!text.ends_with(['.', ' ', ':', ';', '!']) && !text.starts_with(' '), "{text:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        assert!(!text.contains(&cause.to_string()), "{text:?} repeats its source");
        source = cause.source();
    }
    if let Some(source) = error.source() {
        check(source);
    }
}

#[test]
fn every_error_is_one_line_that_does_not_repeat_its_source() {
    protocol_errors().iter().for_each(|error| check(error));
    send_errors().iter().for_each(|error| check(error));
    handshake_errors().iter().for_each(|error| check(error));
    url_errors().iter().for_each(|error| check(error));
    proxy_errors().iter().for_each(|error| check(error));
    tls_errors().iter().for_each(|error| check(error));
    errors().iter().for_each(|error| check(error));
}

#[test]
fn an_error_of_the_adapters_contains_the_text_of_the_error_below() {
    // Whoever prints the error alone, without its sources, sees everything.
    for (below, error) in
        handshake_errors().into_iter().map(|below| (below.to_string(), Error::Handshake(below)))
    {
        assert!(error.to_string().ends_with(&below), "{error}");
    }
    for below in protocol_errors() {
        assert!(Error::Protocol(below).to_string().ends_with(&below.to_string()), "{below}");
    }
}

#[test]
fn an_error_of_a_limit_or_timeout_names_its_setting() {
    for (error, setting) in [
        (ProtocolError::FrameTooLarge { size: 2, limit: 1 }.into(), "max_frame_size"),
        (ProtocolError::MessageTooLarge { size: 2, limit: 1 }.into(), "max_message_size"),
        (ProtocolError::TooManyFragments { limit: 1 }.into(), "max_fragments"),
        (ProtocolError::CompressionRatio { limit: 1 }.into(), "max_ratio"),
        (SendError::BufferFull.into(), "write_buffer_size"),
        (HandshakeError::FirstLineTooLong { limit: 1 }.into(), "max_head_size"),
        (HandshakeError::HeadTooLarge { limit: 1 }.into(), "max_head_size"),
        (HandshakeError::TooManyHeaders { limit: 1 }.into(), "max_headers"),
        (HandshakeError::Timeout.into(), "open_timeout"),
        (Error::Timeout(TimeoutKind::Connect), "connect_timeout"),
        (Error::Timeout(TimeoutKind::Read), "read_timeout"),
        (Error::Timeout(TimeoutKind::Resolve), "resolve_timeout"),
        (Error::Timeout(TimeoutKind::Proxy), "proxy_timeout"),
        (Error::Timeout(TimeoutKind::Tls), "tls_timeout"),
        (Error::Timeout(TimeoutKind::Total), "total_timeout"),
        (Error::Timeout(TimeoutKind::Write), "write_timeout"),
    ] {
        assert!(error.to_string().contains(setting), "{error} does not name {setting}");
    }
}

#[test]
fn every_error_is_decided_to_be_transient_or_not() {
    for error in errors() {
        let expected = match &error {
            Error::Io(_) | Error::Timeout(_) | Error::Disconnected(_) => true,
            Error::Closed(close_info) => close_info.code == CloseCode::TRY_AGAIN_LATER,
            Error::Handshake(HandshakeError::Refused(response)) => matches!(response.status(), 500 | 503),
            Error::Handshake(error) => matches!(error, HandshakeError::Timeout | HandshakeError::Eof),
            Error::Proxy(ProxyError::Refused(response)) => matches!(response.status(), 500 | 502),
            Error::Proxy(error) => {
                matches!(error, ProxyError::Eof | ProxyError::SocksRefused(1 | 3..=6))
            }
            _ => false,
        };
        assert_eq!(error.is_transient(), expected, "{error}");
    }
    for (code, expected) in [
        (1001, true),
        (1002, false),
        (1008, false),
        (1009, false),
        (1011, true),
        (1012, true),
        (1013, true),
        (1014, true),
        (4000, false),
    ] {
        let mut connection = Connection::client(Config::default().into(), [0; 32], Timestamp::ZERO);
        let mut close = Frame::close(code, "").encode();
        while connection.receive(&mut &mut close[..]).is_ok_and(|event| event.is_some()) {}
        let error = Error::Closed(connection.close_info().expect("an end"));
        assert_eq!(error.is_transient(), expected, "{error}");
    }
}

#[test]
fn an_error_of_a_connection_is_one_line_for_a_log() {
    bounded(|| {
        for adapter in [Adapter::Std, Adapter::Smol] {
            let (tell, seen) = std::sync::mpsc::channel();
            let tell = std::sync::Mutex::new(tell);
            let fails = Route::after_one(adapter, || Err(Box::new(io::Error::other(UrlError::Scheme))));
            let server = Server::new(adapter).mount("/", Route::echo(adapter)).mount("/fails", fails);
            let server = server.on_error(move |error| {
                check(error);
                let _ = tell.lock().expect("no panic").send((error.kind, error.to_string()));
            });
            let server = server.start();
            let raw = Raw::open(server.address(), "/fails");
            raw.send(Frame::text("go"));
            let (kind, text) = seen.recv_timeout(ws_tests::PATIENCE).expect("a line that passes the check");
            assert_eq!(kind, ConnectionErrorKind::Handler);
            assert!(text.contains("path /fails: the URL does not begin"), "{text}");
            drop(raw);
            drop(Raw::open(server.address(), "/"));
            let (kind, text) = seen.recv_timeout(ws_tests::PATIENCE).expect("a line that passes the check");
            assert_eq!(kind, ConnectionErrorKind::Disconnected, "{text}");
        }
    });
}
