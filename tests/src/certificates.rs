//! Certificates for the tests, and certificate authorities that issue them.

use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use ws_transport::tls::{ClientTls, ServerTls};

/// A certificate authority for the tests.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key in PEM format.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Creates an authority that no end trusts yet, with a unique name.
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut parameters = parameters(&[], &format!("authority {number} of the tests"));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(parameters, key).expect("an authority") }
    }

    /// Returns the authority that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Authority> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// Returns the authority's own certificate, for the ends that trust it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Returns its own certificate and key, which a server must not use.
    pub fn own_identity(&self) -> Identity {
        Identity { chain: self.issuer.pem(), key: self.issuer.key().serialize_pem() }
    }

    /// Returns the identity of a server on this machine, for all names of the loopback interface.
    pub fn server(&self) -> Identity {
        self.server_named(&["localhost", "127.0.0.1", "::1"])
    }

    /// Returns the identity of a server with these names or addresses.
    pub fn server_named(&self, names: &[&str]) -> Identity {
        let mut parameters = parameters(names, names[0]);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&parameters)
    }

    /// Returns the identity of a server on this machine with this key, which may also identify a client.
    pub fn server_with_key(&self, key: &str) -> Identity {
        let mut parameters = parameters(&["localhost", "127.0.0.1"], "localhost");
        parameters.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let pair = KeyPair::from_pem(key).expect("a key");
        let certificate = parameters.signed_by(&pair, &self.issuer).expect("a certificate");
        Identity { chain: certificate.pem(), key: key.to_owned() }
    }

    /// Returns the identity of a server on this machine with a long expired certificate.
    pub fn expired_server(&self) -> Identity {
        let mut parameters = parameters(&["localhost", "127.0.0.1"], "expired");
        (parameters.not_before, parameters.not_after) =
            (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        self.sign(&parameters)
    }

    /// Returns the identity of a server on this machine with a certificate that is not valid yet.
    pub fn early_server(&self) -> Identity {
        let mut parameters = parameters(&["localhost", "127.0.0.1"], "early");
        parameters.not_before = date_time_ymd(4000, 1, 1);
        self.sign(&parameters)
    }

    /// Returns the identity of a client.
    pub fn client(&self) -> Identity {
        let mut parameters = parameters(&["client.test"], "a client of the tests");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&parameters)
    }

    fn sign(&self, parameters: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// Returns the TLS settings of a client that trusts only this authority.
    pub fn trusted(&self) -> ClientTls {
        ClientTls::new().ca_pem(self.pem().as_bytes())
    }
}

impl Identity {
    /// Returns the TLS settings of a server with this certificate.
    pub fn serving(&self) -> ServerTls {
        ServerTls::from_pem(self.chain.as_bytes(), self.key.as_bytes()).expect("a certificate and its key")
    }

    /// Returns the TLS settings of the client with this certificate for servers that request one.
    pub fn shown_by(&self, tls: ClientTls) -> ClientTls {
        tls.certificate_pem(self.chain.as_bytes(), self.key.as_bytes())
    }
}

fn parameters(names: &[&str], common_name: &str) -> CertificateParams {
    let names = names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut parameters = CertificateParams::new(names).expect("names");
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(4096, 1, 1);
    parameters
}
