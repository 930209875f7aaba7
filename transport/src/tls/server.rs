use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};

use super::{Session, TlsError, alpn, pem, provider};

/// How a server does TLS: who it says it is, and whether clients have to say who they are.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    certificates: Certificates,
    clients: Clients,
    config: Option<Arc<ServerConfig>>,
}

#[derive(Clone, Debug)]
enum Clients {
    Anonymous,
    Required(Vec<u8>),
    Optional(Vec<u8>),
}

impl ServerTls {
    /// A server with this certificate; from PEM files of the chain and its key.
    ///
    /// # Errors
    ///
    /// The files cannot be read, or do not belong together.
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        Self::from_pem(&pem::read(chain.as_ref())?, &pem::read(key.as_ref())?)
    }

    /// A server with this certificate; from PEM texts of the chain and its key.
    ///
    /// # Errors
    ///
    /// The texts are no PEM, or do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(certified(chain, key)?));
        Ok(Self { certificates: Certificates { current }, clients: Clients::Anonymous, config: None })
    }

    /// A server with a configuration made elsewhere.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        let unused = Arc::new(RwLock::new(None));
        Self {
            certificates: Certificates { current: unused },
            clients: Clients::Anonymous,
            config: Some(config),
        }
    }

    /// Serves only clients with a certificate from one of these authorities, in PEM (mTLS).
    pub fn require_clients_from(mut self, ca_pem: &[u8]) -> Self {
        self.clients = Clients::Required(ca_pem.to_vec());
        self
    }

    /// Lets clients show a certificate from one of these authorities, in PEM, and serves those without too.
    pub fn allow_clients_from(mut self, ca_pem: &[u8]) -> Self {
        self.clients = Clients::Optional(ca_pem.to_vec());
        self
    }

    /// A handle to replace the certificate with, while the server runs.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// The configuration for sessions to come.
    ///
    /// # Errors
    ///
    /// The clients' authorities are no PEM, or this build lacks something.
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let builder =
            ServerConfig::builder_with_provider(provider()?).with_safe_default_protocol_versions()?;
        let builder = match &self.clients {
            Clients::Anonymous => builder.with_no_client_auth(),
            Clients::Required(ca) => builder.with_client_cert_verifier(verifier(ca, false)?),
            Clients::Optional(ca) => builder.with_client_cert_verifier(verifier(ca, true)?),
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.certificates.clone()));
        config.alpn_protocols = alpn();
        Ok(Arc::new(config))
    }

    /// A session with a client that has just connected.
    ///
    /// # Errors
    ///
    /// The configuration cannot serve.
    pub fn session(config: &Arc<ServerConfig>) -> Result<Session, TlsError> {
        Ok(Session::new(rustls::ServerConnection::new(config.clone())?.into()))
    }
}

/// The certificate of a server, which can be replaced while it runs: connections made from then on get the
/// new one.
#[derive(Clone, Debug)]
pub struct Certificates {
    current: Arc<RwLock<Option<Arc<CertifiedKey>>>>,
}

impl Certificates {
    /// Replaces the certificate; from PEM files of the chain and its key.
    ///
    /// # Errors
    ///
    /// As [`ServerTls::from_files`]; the certificate so far stays.
    pub fn replace_files(&self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<(), TlsError> {
        self.replace_pem(&pem::read(chain.as_ref())?, &pem::read(key.as_ref())?)
    }

    /// Replaces the certificate; from PEM texts of the chain and its key.
    ///
    /// # Errors
    ///
    /// As [`ServerTls::from_pem`]; the certificate so far stays.
    pub fn replace_pem(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let new = certified(chain, key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn certified(chain: &[u8], key: &[u8]) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let certified = CertifiedKey::from_der(pem::certificates(chain)?, pem::private_key(key)?, &*provider()?)?;
    Ok(Some(Arc::new(certified)))
}

fn verifier(ca_pem: &[u8], anonymous_too: bool) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in pem::certificates(ca_pem)? {
        roots.add(authority)?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), provider()?);
    let builder = if anonymous_too { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|error| TlsError::Other(rustls::Error::General(error.to_string())))
}
