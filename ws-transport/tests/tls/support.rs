//! Certificates, and two TLS sessions that exchange bytes without sockets.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Buf as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use ws_core::Transmit;
use ws_transport::tls::{ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig, TlsError, TlsSession};

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Identity {
    pub(crate) fn serving(&self) -> ServerTls {
        ServerTls::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let mut parameters = CertificateParams::new(vec![]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Each authority has its own name.
        let name = format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed));
        parameters.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn identity(&self, names: &[&str]) -> Identity {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn trusted(&self) -> ClientTls {
        ClientTls::new().ca_pem(self.pem().as_bytes())
    }
}

/// Creates a certificate like that of `openssl req -x509`: self-signed, and an authority.
pub(crate) fn as_openssl_makes_it() -> Identity {
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    Identity { chain: certificate.pem(), key: key.serialize_pem() }
}

/// Both ends of a TLS connection.
pub(crate) struct Ends {
    pub(crate) client: TlsSession,
    pub(crate) server: TlsSession,
    /// The plaintext that has arrived at the client and at the server.
    pub(crate) arrived: [Vec<u8>; 2],
}

impl Ends {
    pub(crate) fn new(
        client: impl Into<ClientTlsConfig>,
        server: impl Into<ServerTlsConfig>,
    ) -> Result<Self, TlsError> {
        let server = ServerTls::session(&server.into().build()?)?;
        Ok(Self { client: client.into().session("localhost")?, server, arrived: Default::default() })
    }

    /// Moves bytes between both ends until none are left. Returns the errors of the client and of the server.
    pub(crate) fn exchange(&mut self, output: &mut Transmit) -> [Option<TlsError>; 2] {
        let mut errors = [None, None];
        let [at_client, at_server] = &mut self.arrived;
        for _ in 0..20 {
            self.client.take_output(output);
            if let Some(error) = feed(&mut self.server, output, at_server) {
                errors[1].get_or_insert(error);
            }
            let mut back = Transmit::default();
            self.server.take_output(&mut back);
            if let Some(error) = feed(&mut self.client, &mut back, at_client) {
                errors[0].get_or_insert(error);
            }
        }
        errors
    }
}

fn feed(session: &mut TlsSession, output: &mut Transmit, plain: &mut Vec<u8>) -> Option<TlsError> {
    let bytes = output.copy_to_bytes(output.remaining());
    session.decrypt(&bytes, plain).err()
}

/// Returns the error of a client that fails to connect to this server.
pub(crate) fn client_error(
    client: impl Into<ClientTlsConfig>,
    server: impl Into<ServerTlsConfig>,
) -> Option<TlsError> {
    let mut ends = match Ends::new(client, server) {
        Ok(ends) => ends,
        Err(error) => return Some(error),
    };
    let [client, _] = ends.exchange(&mut Transmit::default());
    client
}

/// Writes a file with this content. Its path ends in `name`.
pub(crate) fn file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("ws-transport-{}-{name}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}
