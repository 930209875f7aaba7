//! Errors of TLS name the problem, the side that caused it, and the remedy.

use std::error::Error as _;

use ws_transport::tls::{
    ClientTls, ServerTls, TlsError,
    rustls::{self, AlertDescription},
};

use crate::support::{Authority, as_openssl_makes_it, client_error, file};

fn assert_says(error: &TlsError, what: &[&str]) {
    let text = error.to_string();
    for part in what {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(
        error.source().is_none_or(|source| !text.contains(&source.to_string())),
        "{text:?} repeats its source"
    );
}

#[test]
fn a_certificate_as_openssl_makes_it_is_refused_with_a_remedy() {
    let identity = as_openssl_makes_it();
    let client = ClientTls::new().ca_pem(identity.chain.as_bytes());
    let error = client_error(client, identity.serving()).unwrap();
    assert_eq!(error, TlsError::AuthorityAsPeer);
    assert_says(&error, &["CA:TRUE", "openssl req -x509", "CA:FALSE", "subjectAltName"]);
}

#[test]
fn a_wrong_name_is_reported_with_both_names() {
    let authority = Authority::new();
    for (names, shown) in [
        (&["elsewhere.test"][..], "elsewhere.test"),
        (&["a.test", "*.b.test", "192.0.2.7"], "a.test, *.b.test, 192.0.2.7"),
        (&["1.test", "2.test", "3.test", "4.test", "5.test", "6.test", "7.test"], "5.test and 2 more"),
    ] {
        let error = client_error(authority.trusted(), authority.identity(names).serving()).unwrap();
        let TlsError::WrongName { expected, presented } = &error else { panic!("{error:?}") };
        assert_eq!(
            (expected.as_deref(), &presented[..]),
            (Some("localhost"), &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()[..])
        );
        assert_says(&error, &[shown, "not for localhost", "server_name"]);
    }
    let unknown =
        TlsError::from(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForName));
    assert_says(&unknown, &["other names", "the requested name"]);
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_problem() {
    let authority = Authority::new();
    let (identity, other) = (authority.identity(&["localhost"]), authority.identity(&["localhost"]));
    let [empty, chain, key, other_key] = [
        file("empty.pem", "no certificate"),
        file("chain.pem", &identity.chain),
        file("key.pem", &identity.key),
        file("other-key.pem", &other.key),
    ];
    let missing = empty.with_extension("missing");
    let session = |client: ClientTls| client.session("localhost").map(drop).unwrap_err();
    for (error, what) in [
        (session(ClientTls::new().ca_file(&empty)), &["empty.pem", "no certificate"][..]),
        (session(ClientTls::new().ca_file(&key)), &["key.pem", "no certificate"]),
        (session(ClientTls::new().ca_file(&missing)), &["empty.missing", "cannot read"]),
        (session(ClientTls::new().certificate_files(&chain, &empty)), &["empty.pem", "no private key"]),
        (
            session(ClientTls::new().certificate_files(&chain, &other_key)),
            &["chain.pem", "other-key.pem", "does not belong"],
        ),
        (ServerTls::from_files(&empty, &key).unwrap_err(), &["empty.pem", "no certificate"]),
        (ServerTls::from_files(&chain, &chain).unwrap_err(), &["chain.pem", "no private key"]),
        (
            ServerTls::from_files(&chain, &other_key).unwrap_err(),
            &["chain.pem", "other-key.pem", "does not belong"],
        ),
        (ServerTls::from_pem(b"", identity.key.as_bytes()).unwrap_err(), &["the PEM text", "no certificate"]),
    ] {
        assert!(matches!(error, TlsError::Pem(_)), "{error:?}");
        assert_says(&error, what);
    }
    for path in [empty, chain, key, other_key] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn every_other_error_says_which_side_caused_it_or_what_to_do() {
    for (error, what) in [
        (TlsError::Expired, &["the peer's certificate", "renewed"][..]),
        (TlsError::NotValidYet, &["the peer's certificate", "clock"]),
        (TlsError::UnknownAuthority, &["the peer's certificate", "ca_file"]),
        (TlsError::NoCertificate, &["the peer did not send"]),
        (TlsError::Refused(AlertDescription::UnknownCA), &["the peer refused", "UnknownCA", "this end sent"]),
        (
            TlsError::Refused(AlertDescription::CertificateRequired),
            &["the peer refused", "this end sent none"],
        ),
        (TlsError::Refused(AlertDescription::HandshakeFailure), &["the peer refused", "HandshakeFailure"]),
        (TlsError::NotTls, &["the peer does not speak TLS", "ws://", "wss://"]),
        (TlsError::InvalidName("not a name".into()), &["not a name"]),
        (TlsError::NoProvider, &["this build", "ring"]),
        (TlsError::NoRoots, &["this build", "add a CA"]),
        (TlsError::Other(rustls::Error::DecryptError), &["TLS failed"]),
    ] {
        assert_says(&error, what);
    }
}
