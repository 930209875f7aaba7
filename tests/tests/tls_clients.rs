//! Client certificates.

use std::time::Instant;

use ws_std::{ClientTls, CloseCode, Error, ServerTls, TlsError};
use ws_tests::{
    SLACK,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, Running, Server},
    with_every_pairing_by_tls,
};

with_every_pairing_by_tls! {
    a_client_with_a_certificate_is_served
    a_client_without_the_certificate_that_is_required_is_refused
    a_client_with_a_certificate_of_another_authority_is_refused
    an_optional_certificate_may_be_left_out_but_not_be_wrong
    a_replaced_certificate_is_for_new_connections
}

fn serve(adapter: Adapter, tls: ServerTls) -> Running {
    Server::new(adapter).mount("/", Route::echo(adapter)).tls(tls).start()
}

fn client(pairing: Pairing, server: &Running, tls: ClientTls) -> Client {
    Client::new(pairing.client, &format!("wss://{}/", server.address())).tls(tls)
}

fn expect_echo(client: Client) {
    let mut ws = client.connect().unwrap();
    ws.send("it is me").unwrap();
    assert_eq!(ws.message(), "it is me");
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

/// Expects a refusal by the server. With TLS 1.3 a client notices it only when it waits for data.
fn expect_refused(client: Client) {
    let began = Instant::now();
    let error = client.connect().unwrap_err();
    assert!(began.elapsed() < SLACK, "it did not wait for a deadline");
    assert!(matches!(error, Error::Tls(TlsError::Refused(_)) | Error::Io(_)), "{error:?}");
}

fn required() -> ServerTls {
    Authority::shared().server().serving().require_clients_from(Authority::shared().pem().as_bytes())
}

fn a_client_with_a_certificate_is_served(pairing: Pairing) {
    let server = serve(pairing.server, required());
    expect_echo(client(
        pairing,
        &server,
        Authority::shared().client().shown_by(Authority::shared().trusted()),
    ));
}

fn a_client_without_the_certificate_that_is_required_is_refused(pairing: Pairing) {
    let server = serve(pairing.server, required());
    for _ in 0..3 {
        expect_refused(client(pairing, &server, Authority::shared().trusted()));
    }
    expect_echo(client(
        pairing,
        &server,
        Authority::shared().client().shown_by(Authority::shared().trusted()),
    ));
}

fn a_client_with_a_certificate_of_another_authority_is_refused(pairing: Pairing) {
    let server = serve(pairing.server, required());
    let stranger = Authority::new().client().shown_by(Authority::shared().trusted());
    expect_refused(client(pairing, &server, stranger));
    // A server's certificate is not valid for clients.
    let server_as_client = Authority::shared().server().shown_by(Authority::shared().trusted());
    expect_refused(client(pairing, &server, server_as_client));
    expect_echo(client(
        pairing,
        &server,
        Authority::shared().client().shown_by(Authority::shared().trusted()),
    ));
}

fn an_optional_certificate_may_be_left_out_but_not_be_wrong(pairing: Pairing) {
    let tls = Authority::shared().server().serving();
    let server = serve(pairing.server, tls.allow_clients_from(Authority::shared().pem().as_bytes()));
    expect_echo(client(pairing, &server, Authority::shared().trusted()));
    expect_echo(client(
        pairing,
        &server,
        Authority::shared().client().shown_by(Authority::shared().trusted()),
    ));
    let stranger = Authority::new().client().shown_by(Authority::shared().trusted());
    expect_refused(client(pairing, &server, stranger));
}

fn a_replaced_certificate_is_for_new_connections(pairing: Pairing) {
    let tls = Authority::shared().server().serving();
    let certificates = tls.certificates();
    let server = serve(pairing.server, tls);
    let mut before = client(pairing, &server, Authority::shared().trusted()).connect().unwrap();
    let successor = Authority::new();
    let identity = successor.server();
    assert!(certificates.replace_pem(b"nonsense", identity.key.as_bytes()).is_err());
    expect_echo(client(pairing, &server, Authority::shared().trusted()));

    certificates.replace_pem(identity.chain.as_bytes(), identity.key.as_bytes()).unwrap();
    expect_echo(client(pairing, &server, successor.trusted()));
    let error = client(pairing, &server, Authority::shared().trusted()).connect().unwrap_err();
    assert!(matches!(error, Error::Tls(TlsError::UnknownAuthority)), "{error:?}");
    before.send("still open").unwrap();
    assert_eq!(before.message(), "still open");
}
