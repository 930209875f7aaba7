//! A TLS setting has an effect, cannot be expressed, or is an error. It is never ignored.

use std::sync::Arc;

use ws_core::Transmit;
use ws_transport::tls::{
    ClientTls, ServerTls, ServerTlsConfig, TlsError,
    rustls::{
        self, RootCertStore,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, pem::PemObject as _},
    },
};

use crate::support::{Authority, Ends, client_error};

/// Returns a rustls configuration for a client that trusts this authority.
fn config(authority: &Authority) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Returns the errors of the client and of the server.
fn errors(client: ClientTls, server: impl Into<ServerTlsConfig>) -> [Option<TlsError>; 2] {
    Ends::new(client, server).unwrap().exchange(&mut Transmit::default())
}

#[test]
fn a_configuration_of_rustls_serves_as_it_is() {
    let (authority, others) = (Authority::new(), Authority::new());
    let required = authority.identity(&["localhost"]).serving().require_clients_from(others.pem().as_bytes());
    let config = required.build().unwrap();
    let given = ServerTls::from_config(config.clone());
    assert!(Arc::ptr_eq(&given.build().unwrap(), &config));
    assert_eq!(errors(authority.trusted(), given)[1], Some(TlsError::NoCertificate));
    assert_eq!(errors(authority.trusted(), config)[1], Some(TlsError::NoCertificate));
}

#[test]
fn a_configuration_of_rustls_connects_as_it_is_and_the_name_can_be_set() {
    let authority = Authority::new();
    let elsewhere = authority.identity(&["elsewhere.test"]).serving();
    let client = ClientTls::from_config(config(&authority));
    assert!(matches!(client_error(client.clone(), elsewhere.clone()), Some(TlsError::WrongName { .. })));
    assert_eq!(client_error(client.server_name("elsewhere.test"), elsewhere.clone()), None);
    assert_eq!(client_error(authority.trusted().server_name("elsewhere.test"), elsewhere), None);
}

#[test]
fn client_certificates_cannot_be_required_and_optional() {
    let authority = Authority::new();
    let server = || authority.identity(&["localhost"]).serving();
    let pem = authority.pem();
    let pem = pem.as_bytes();
    for server in [
        server().require_clients_from(pem).allow_clients_from(pem),
        server().allow_clients_from(pem).require_clients_from(pem),
        server().require_clients_from(pem).allow_clients_from(pem).require_clients_from(pem),
    ] {
        let error = server.build().unwrap_err();
        assert!(matches!(error, TlsError::Contradiction(_)), "{error:?}");
        for said in ["require_clients_from", "allow_clients_from"] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}

#[test]
fn every_authority_for_clients_counts() {
    let (one, other, stranger) = (Authority::new(), Authority::new(), Authority::new());
    for is_required in [true, false] {
        let server = one.identity(&["localhost"]).serving();
        let server = [&one, &other].iter().fold(server, |server, authority| match is_required {
            true => server.require_clients_from(authority.pem().as_bytes()),
            false => server.allow_clients_from(authority.pem().as_bytes()),
        });
        for (authority, is_welcome) in [(&one, true), (&other, true), (&stranger, false)] {
            let identity = authority.identity(&["client.test"]);
            let client = one.trusted().certificate_pem(identity.chain.as_bytes(), identity.key.as_bytes());
            assert_eq!(errors(client, server.clone())[1].is_none(), is_welcome);
        }
    }
}

#[test]
fn a_client_cannot_trust_anyone_and_only_some() {
    let authority = Authority::new();
    let pem = authority.pem();
    for client in [
        ClientTls::new().ca_pem(pem.as_bytes()).danger_accept_any_certificate(),
        ClientTls::new().danger_accept_any_certificate().ca_pem(pem.as_bytes()),
    ] {
        let error = client.session("localhost").unwrap_err();
        assert!(matches!(error, TlsError::Contradiction(_)), "{error:?}");
        assert!(error.to_string().contains("danger_accept_any_certificate"), "{error}");
    }
}

#[test]
fn a_certificate_is_replaced_for_the_connections_that_follow() {
    let (one, other) = (Authority::new(), Authority::new());
    let server = one.identity(&["localhost"]).serving();
    let certificates = server.certificates();
    let config: ServerTlsConfig = server.into();
    assert_eq!(client_error(one.trusted(), config.clone()), None);
    let next = other.identity(&["localhost"]);
    certificates.replace_pem(next.chain.as_bytes(), next.key.as_bytes()).unwrap();
    assert_eq!(client_error(one.trusted(), config.clone()), Some(TlsError::UnknownAuthority));
    assert_eq!(client_error(other.trusted(), config), None);
}

#[test]
fn debug_output_shows_neither_keys_nor_lists_of_bytes() {
    let authority = Authority::new();
    let identity = authority.identity(&["localhost"]);
    let server = identity.serving().require_clients_from(authority.pem().as_bytes());
    let client = authority.trusted().certificate_pem(identity.chain.as_bytes(), identity.key.as_bytes());
    let server_config = ServerTlsConfig::from(server.clone());
    let client_config = ws_transport::tls::ClientTlsConfig::from(client.clone());
    for shown in [
        format!("{server:?}"),
        format!("{client:?}"),
        format!("{server_config:?}"),
        format!("{client_config:?}"),
        format!("{:?}", server.certificates()),
    ] {
        assert!(shown.len() < 400, "{shown}");
        assert!(!shown.contains("BEGIN") && !shown.contains("45, 45, 45"), "{shown}");
    }
}
