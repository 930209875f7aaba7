//! Verification of TLS certificates by clients and servers.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use ws_std::{ClientTls, CloseCode, Error, HandshakeError, ServerTls, TlsError};
use ws_tests::{
    RawListener, SLACK,
    certificates::{Authority, Identity},
    either::{Adapter, Client, Route, Running, Server},
    with_both_adapters,
};

with_both_adapters! {
    a_server_of_ones_own_authority_is_trusted
    an_expired_certificate_is_refused
    a_certificate_for_a_time_to_come_is_refused
    a_certificate_for_another_name_is_refused
    a_certificate_of_an_unknown_authority_is_refused
    without_a_word_about_trust_a_private_authority_is_refused
    a_name_other_than_the_hosts_can_be_expected
    anybody_is_trusted_if_asked_for
    several_authorities_can_be_trusted
    a_plain_server_is_no_tls_server
    a_plain_client_of_a_tls_server_sees_a_readable_error
    a_server_that_never_answers_is_given_up_within_the_open_timeout
    a_refused_client_does_not_keep_others_from_the_server
    pem_that_is_none_is_a_readable_error
    files_that_are_not_there_are_named
    a_key_of_another_certificate_is_refused
    a_page_that_came_without_tls_may_not_open_a_connection_over_tls
}

fn serve(adapter: Adapter, tls: ServerTls) -> Running {
    Server::new(adapter).mount("/", Route::echo(adapter)).tls(tls).start()
}

fn a_page_that_came_without_tls_may_not_open_a_connection_over_tls(adapter: Adapter) {
    let server = serve(adapter, Authority::shared().server().serving());
    for (scheme, opens) in [("https", true), ("http", false)] {
        let origin = format!("{scheme}://{}", server.address());
        let client = client(adapter, &server, Authority::shared().trusted()).header("Origin", &origin);
        match client.connect() {
            Ok(_) => assert!(opens, "{origin}"),
            Err(Error::Handshake(HandshakeError::Refused(response))) => {
                assert_eq!((response.status(), opens), (403, false), "{origin}");
            }
            Err(error) => panic!("{origin}: {error}"),
        }
    }
}

fn client(adapter: Adapter, server: &Running, tls: ClientTls) -> Client {
    Client::new(adapter, &format!("wss://{}/", server.address())).tls(tls)
}

fn expect_echo(client: Client) {
    let mut ws = client.connect().unwrap();
    ws.send("by TLS").unwrap();
    assert_eq!(ws.message(), "by TLS");
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert!(ws.close_info().was_clean);
}

fn tls_error(client: Client) -> TlsError {
    match client.connect() {
        Err(Error::Tls(error)) => error,
        other => panic!("no TLS error but {other:?}"),
    }
}

fn expect_refused(adapter: Adapter, identity: &Identity, expected: &TlsError) {
    let server = serve(adapter, identity.serving());
    let client = client(adapter, &server, Authority::shared().trusted());
    assert_eq!(tls_error(client), *expected);
}

fn a_server_of_ones_own_authority_is_trusted(adapter: Adapter) {
    let server = serve(adapter, Authority::shared().server().serving());
    expect_echo(client(adapter, &server, Authority::shared().trusted()));
    let by_name = format!("wss://localhost:{}/", server.address().port());
    expect_echo(Client::new(adapter, &by_name).tls(Authority::shared().trusted()));
}

fn an_expired_certificate_is_refused(adapter: Adapter) {
    expect_refused(adapter, &Authority::shared().expired_server(), &TlsError::Expired);
}

fn a_certificate_for_a_time_to_come_is_refused(adapter: Adapter) {
    expect_refused(adapter, &Authority::shared().early_server(), &TlsError::NotValidYet);
}

fn wrong_name(asked: &str, presented: &[&str]) -> TlsError {
    let presented = presented.iter().map(|name| (*name).to_owned()).collect();
    TlsError::WrongName { expected: Some(asked.into()), presented }
}

fn a_certificate_for_another_name_is_refused(adapter: Adapter) {
    let identity = Authority::shared().server_named(&["elsewhere.test"]);
    expect_refused(adapter, &identity, &wrong_name("127.0.0.1", &["elsewhere.test"]));
}

fn a_certificate_of_an_unknown_authority_is_refused(adapter: Adapter) {
    expect_refused(adapter, &Authority::new().server(), &TlsError::UnknownAuthority);
}

fn without_a_word_about_trust_a_private_authority_is_refused(adapter: Adapter) {
    let server = serve(adapter, Authority::shared().server().serving());
    let error = tls_error(client(adapter, &server, ClientTls::new()));
    assert!(matches!(error, TlsError::UnknownAuthority | TlsError::Other(_)), "{error:?}");
}

fn a_name_other_than_the_hosts_can_be_expected(adapter: Adapter) {
    let server = serve(adapter, Authority::shared().server_named(&["elsewhere.test"]).serving());
    let trusted = Authority::shared().trusted();
    expect_echo(client(adapter, &server, trusted.clone().server_name("elsewhere.test")));
    let error = tls_error(client(adapter, &server, trusted.clone().server_name("localhost")));
    assert_eq!(error, wrong_name("localhost", &["elsewhere.test"]));
    let error = tls_error(client(adapter, &server, trusted.server_name("not a name")));
    assert_eq!(error, TlsError::InvalidName("not a name".into()));
}

fn anybody_is_trusted_if_asked_for(adapter: Adapter) {
    let stranger = Authority::new();
    for identity in [stranger.server(), stranger.expired_server(), stranger.server_named(&["x.test"])] {
        let server = serve(adapter, identity.serving());
        expect_echo(client(adapter, &server, ClientTls::new().danger_accept_any_certificate()));
    }
}

fn several_authorities_can_be_trusted(adapter: Adapter) {
    let others = [Authority::new(), Authority::new()];
    let tls = others.iter().fold(ClientTls::new(), |tls, authority| tls.ca_pem(authority.pem().as_bytes()));
    for authority in &others {
        expect_echo(client(adapter, &serve(adapter, authority.server().serving()), tls.clone()));
    }
    let server = serve(adapter, Authority::shared().server().serving());
    assert_eq!(tls_error(client(adapter, &server, tls)), TlsError::UnknownAuthority);
}

fn a_plain_server_is_no_tls_server(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).start();
    let error = tls_error(client(adapter, &server, Authority::shared().trusted()));
    assert_eq!(error, TlsError::NotTls);
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

fn a_plain_client_of_a_tls_server_sees_a_readable_error(adapter: Adapter) {
    let server = serve(adapter, Authority::shared().server().serving());
    let began = Instant::now();
    let error = Client::new(adapter, &format!("ws://{}/", server.address())).connect().unwrap_err();
    assert!(began.elapsed() < SLACK, "it did not wait for a deadline");
    let said = error.to_string();
    assert!(!said.is_empty() && said.chars().all(|char| !char.is_control()), "{said:?}");
    assert!(matches!(error, Error::Handshake(HandshakeError::TlsRecord) | Error::Io(_)), "{error:?}");
    expect_echo(client(adapter, &server, Authority::shared().trusted()));
}

fn a_server_that_never_answers_is_given_up_within_the_open_timeout(adapter: Adapter) {
    let listener = RawListener::new();
    let url = format!("wss://{}/", listener.address());
    let limit = Duration::from_millis(200);
    let client = Client::new(adapter, &url).configure_handshake(|limits| limits.open_timeout = Some(limit));
    let began = Instant::now();
    let error = client.tls(Authority::shared().trusted()).connect().unwrap_err();
    let took = began.elapsed();
    assert!(took >= limit && took < limit + SLACK, "{took:?}");
    assert!(matches!(error, Error::Handshake(HandshakeError::Timeout)), "{error:?}");
}

fn a_refused_client_does_not_keep_others_from_the_server(adapter: Adapter) {
    let server = serve(adapter, Authority::shared().server().serving());
    let mut silent = Vec::new();
    for _ in 0..10 {
        tls_error(client(adapter, &server, Authority::new().trusted()));
        silent.push(ws_tests::Raw::connect(server.address()));
        expect_echo(client(adapter, &server, Authority::shared().trusted()));
    }
}

fn pem_that_is_none_is_a_readable_error(adapter: Adapter) {
    let identity = Authority::shared().server();
    let (chain, key) = (identity.chain.as_bytes(), identity.key.as_bytes());
    let broken = &chain[..chain.len() / 2];
    for (chain, key, what) in [
        (b"".as_slice(), key, "no certificate"),
        (b"nonsense", key, "no certificate"),
        (key, key, "no certificate"),
        (broken, key, "certificate"),
        (chain, b"", "no private key"),
        (chain, chain, "no private key"),
    ] {
        let error = ServerTls::from_pem(chain, key).unwrap_err();
        assert!(matches!(error, TlsError::Pem(_)), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let listener = RawListener::new();
    let url = format!("wss://{}/", listener.address());
    for tls in [ClientTls::new().ca_pem(b"nonsense"), ClientTls::new().certificate_pem(chain, b"nonsense")] {
        let error = tls_error(Client::new(adapter, &url).tls(tls));
        assert!(matches!(error, TlsError::Pem(_)), "{error:?}");
    }
}

fn files_that_are_not_there_are_named(adapter: Adapter) {
    let error = ServerTls::from_files("no-such-chain.pem", "no-such-key.pem").unwrap_err();
    assert!(error.to_string().contains("no-such-chain.pem"), "{error}");
    let listener = RawListener::new();
    let client = Client::new(adapter, &format!("wss://{}/", listener.address()));
    let error = tls_error(client.tls(ClientTls::new().ca_file("no-such-ca.pem")));
    assert!(error.to_string().contains("no-such-ca.pem"), "{error}");
}

fn a_key_of_another_certificate_is_refused(adapter: Adapter) {
    let (one, other) = (Authority::shared().server(), Authority::shared().server());
    let error = ServerTls::from_pem(one.chain.as_bytes(), other.key.as_bytes()).unwrap_err();
    assert!(!error.to_string().is_empty());
    // A server that ends the stream during the handshake.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let ending = thread::spawn(move || drop(listener.accept().unwrap()));
    let error = Client::new(adapter, &url).tls(Authority::shared().trusted()).connect().unwrap_err();
    assert!(matches!(error, Error::Io(_) | Error::Tls(_) | Error::Handshake(_)), "{error:?}");
    ending.join().unwrap();
}
