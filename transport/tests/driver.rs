//! A connection behind TLS, without sockets.

use std::sync::Arc;

use bytes::Buf as _;
use ws_core::{CloseCode, Config, Connection, Timestamp, Transmit, testing::drained};
use ws_transport::{
    Driver,
    tls::{ClientTls, ServerTls, Session},
};

/// A client's session and a server's, after their handshake.
fn sessions() -> (Session, Session) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let chain = parameters.self_signed(&key).unwrap().pem();
    let server = ServerTls::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let mut server = ServerTls::session(&server.build().unwrap()).unwrap();
    let mut client = ClientTls::new().danger_accept_any_certificate().session("localhost").unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        pass(&mut client, &mut server);
        pass(&mut server, &mut client);
    }
    (client, server)
}

/// Carries the output of one session to the other.
fn pass(from: &mut Session, to: &mut Session) {
    let (mut sealed, mut plain) = (Transmit::default(), Vec::new());
    from.take_output(&mut sealed);
    to.decrypt(&drained(&mut sealed), &mut plain).unwrap();
    assert!(plain.is_empty());
}

#[test]
fn output_that_tls_can_no_longer_send_is_dropped_at_once() {
    let (_, session) = sessions();
    let connection = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    let mut driver = Driver::new(connection, Some(Box::new(session)));
    driver.connection.send("a reply that was queued before").unwrap();
    driver.connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();

    driver.decrypt(&[0; 4096], &mut Vec::new());
    driver.begin_turn(Timestamp::ZERO).expect_err("zeros are no TLS record");
    let mut alert = Transmit::default();
    driver.take_output(&mut alert);
    assert!(alert.has_remaining(), "the peer learns why by an alert");
    assert!(!driver.wants_write(), "a loop that writes until nothing waits would never end");
    assert_eq!(drained(&mut driver.connection.transmit()), b"");
}
