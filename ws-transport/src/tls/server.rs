use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    server::{
        ClientCertVerifierBuilder, ClientHello, ResolvesServerCert, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};

use super::{TlsError, TlsSession, alpn, key_log::KeyLogFile, pem::Pem, provider};

/// TLS settings of a server: its certificate, and the policy for client certificates.
///
/// Servers accept these settings, or a [`ServerTlsConfig`] created from a configuration of rustls.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    certificates: Certificates,
    clients: Clients,
    key_log: Option<PathBuf>,
}

/// The policy for client certificates, and the authorities that have to have signed them.
#[derive(Clone, Debug)]
enum Clients {
    Anonymous,
    Required(Vec<Pem>),
    Optional(Vec<Pem>),
    /// Client certificates are both required and optional.
    Contradictory,
}

impl ServerTls {
    /// Creates the TLS of a server with this certificate, from PEM files of the chain and its private key.
    ///
    /// # Errors
    ///
    /// Returns [`TlsError::Pem`] if the files cannot be read or do not belong together.
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        Self::new(&Pem::read(chain.as_ref())?, &Pem::read(key.as_ref())?)
    }

    /// Creates the TLS of a server with this certificate, from PEM texts of the chain and its private key.
    ///
    /// # Errors
    ///
    /// Returns [`TlsError::Pem`] if the texts are not PEM or do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::new(&Pem::from_text(chain), &Pem::from_text(key))
    }

    /// Works as [`from_files`](Self::from_files), for a private key that is encrypted with a password (PKCS#8 with PBES2).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_files`](Self::from_files), and [`TlsError::Pem`] if the password is wrong.
    #[cfg(feature = "encrypted-keys")]
    pub fn from_files_with_password(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        password: &str,
    ) -> Result<Self, TlsError> {
        Self::new(&Pem::read(chain.as_ref())?, &Pem::read(key.as_ref())?.with_password(password))
    }

    /// Works as [`from_pem`](Self::from_pem), for a private key that is encrypted with a password (PKCS#8 with PBES2).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`from_pem`](Self::from_pem), and [`TlsError::Pem`] if the password is wrong.
    #[cfg(feature = "encrypted-keys")]
    pub fn from_pem_with_password(chain: &[u8], key: &[u8], password: &str) -> Result<Self, TlsError> {
        Self::new(&Pem::from_text(chain), &Pem::from_text(key).with_password(password))
    }

    /// Appends the secrets of all sessions to this file, in the format of NSS (`SSLKEYLOGFILE`), which Wireshark reads.
    /// The reader of the file can decrypt all data. Use it only to debug. Default: no file.
    pub fn key_log_file(mut self, path: impl AsRef<Path>) -> Self {
        self.key_log = Some(path.as_ref().to_owned());
        self
    }

    fn new(chain: &Pem, key: &Pem) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(certified(chain, key)?));
        Ok(Self { certificates: Certificates { current }, clients: Clients::Anonymous, key_log: None })
    }

    /// Creates the TLS of a server from a configuration of rustls. It contains all settings, so the result has none.
    ///
    /// ```compile_fail
    /// # fn f(config: std::sync::Arc<ws_transport::tls::rustls::ServerConfig>) {
    /// use ws_transport::tls::ServerTls;
    /// // `config` contains the policy for client certificates.
    /// let _ = ServerTls::from_config(config).require_clients_from(b"-----BEGIN CERTIFICATE-----");
    /// # }
    /// ```
    pub fn from_config(config: Arc<ServerConfig>) -> ServerTlsConfig {
        config.into()
    }

    /// Requires clients to present a certificate from one of these authorities, in PEM (mTLS). Call it again to add
    /// more.
    ///
    /// The server fails to start if this is combined with [`allow_clients_from`](Self::allow_clients_from).
    pub fn require_clients_from(mut self, ca_pem: &[u8]) -> Self {
        let pem = Pem::from_text(ca_pem);
        self.clients = match self.clients {
            Clients::Anonymous => Clients::Required(vec![pem]),
            Clients::Required(mut before) => {
                before.push(pem);
                Clients::Required(before)
            }
            Clients::Optional(_) | Clients::Contradictory => Clients::Contradictory,
        };
        self
    }

    /// Accepts client certificates from one of these authorities, in PEM, and also clients without a certificate.
    /// Call it again to add more.
    pub fn allow_clients_from(mut self, ca_pem: &[u8]) -> Self {
        let pem = Pem::from_text(ca_pem);
        self.clients = match self.clients {
            Clients::Anonymous => Clients::Optional(vec![pem]),
            Clients::Optional(mut before) => {
                before.push(pem);
                Clients::Optional(before)
            }
            Clients::Required(_) | Clients::Contradictory => Clients::Contradictory,
        };
        self
    }

    /// Returns a handle that replaces the certificate while the server runs.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        self.certificates.clone()
    }

    /// Returns the configuration for future sessions.
    ///
    /// # Errors
    ///
    /// - Returns [`TlsError::Pem`] if the clients' authorities cannot be read.
    /// - Returns [`TlsError::Contradiction`] if client certificates are both required and optional.
    /// - Returns [`TlsError::NoProvider`] if this build has no cryptography.
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let builder =
            ServerConfig::builder_with_provider(provider()?).with_safe_default_protocol_versions()?;
        let builder = match &self.clients {
            Clients::Anonymous => builder.with_no_client_auth(),
            Clients::Required(authorities) => {
                builder.with_client_cert_verifier(build(verifier(authorities)?)?)
            }
            Clients::Optional(authorities) => {
                let verifier = verifier(authorities)?.allow_unauthenticated();
                builder.with_client_cert_verifier(build(verifier)?)
            }
            Clients::Contradictory => {
                return Err(TlsError::Contradiction(
                    "client certificates are required (require_clients_from) and optional (allow_clients_from)",
                ));
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(self.certificates.clone()));
        config.alpn_protocols = alpn();
        if let Some(path) = &self.key_log {
            config.key_log = KeyLogFile::open(path)?;
        }
        Ok(Arc::new(config))
    }

    /// Creates a session with a client that has just connected.
    ///
    /// # Errors
    ///
    /// Returns an error if rustls does not accept the configuration.
    pub fn session(config: &Arc<ServerConfig>) -> Result<TlsSession, TlsError> {
        Ok(TlsSession::new(rustls::ServerConnection::new(config.clone())?.into()))
    }
}

/// The TLS of a server with complete settings, created from a [`ServerTls`] or from a configuration of rustls.
///
/// A configuration of rustls has its own certificates and its own policy for clients. So this type has no settings
/// that could be ignored.
#[derive(Clone)]
#[must_use]
pub struct ServerTlsConfig(ServerConfigSource);

#[derive(Clone)]
enum ServerConfigSource {
    Settings(ServerTls),
    Config(Arc<ServerConfig>),
}

impl ServerTlsConfig {
    /// Returns the configuration for future sessions.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ServerTls::build`]. A configuration of rustls is returned unchanged.
    pub fn build(&self) -> Result<Arc<ServerConfig>, TlsError> {
        match &self.0 {
            ServerConfigSource::Settings(tls) => tls.build(),
            ServerConfigSource::Config(config) => Ok(config.clone()),
        }
    }
}

impl From<ServerTls> for ServerTlsConfig {
    fn from(tls: ServerTls) -> Self {
        Self(ServerConfigSource::Settings(tls))
    }
}

impl From<Arc<ServerConfig>> for ServerTlsConfig {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self(ServerConfigSource::Config(config))
    }
}

impl From<ServerConfig> for ServerTlsConfig {
    fn from(config: ServerConfig) -> Self {
        Arc::new(config).into()
    }
}

impl fmt::Debug for ServerTlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ServerConfigSource::Settings(tls) => tls.fmt(f),
            ServerConfigSource::Config(_) => f.write_str("ServerTlsConfig(rustls)"),
        }
    }
}

/// The certificate of a server, which can be replaced while the server runs. New connections receive the new
/// certificate.
#[derive(Clone)]
pub struct Certificates {
    current: Arc<RwLock<Option<Arc<CertifiedKey>>>>,
}

impl Certificates {
    /// Replaces the certificate, from PEM files of the chain and its private key.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ServerTls::from_files`]. On an error, the certificate is unchanged.
    pub fn replace_files(&self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<(), TlsError> {
        self.replace(&Pem::read(chain.as_ref())?, &Pem::read(key.as_ref())?)
    }

    /// Replaces the certificate, from PEM texts of the chain and its private key.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ServerTls::from_pem`]. On an error, the certificate is unchanged.
    pub fn replace_pem(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.replace(&Pem::from_text(chain), &Pem::from_text(key))
    }

    /// Works as [`replace_files`](Self::replace_files), for a private key that is encrypted with a password.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ServerTls::from_files_with_password`]. On an error, the certificate is unchanged.
    #[cfg(feature = "encrypted-keys")]
    pub fn replace_files_with_password(
        &self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
        password: &str,
    ) -> Result<(), TlsError> {
        self.replace(&Pem::read(chain.as_ref())?, &Pem::read(key.as_ref())?.with_password(password))
    }

    fn replace(&self, chain: &Pem, key: &Pem) -> Result<(), TlsError> {
        let new = certified(chain, key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

/// Omits the certificate and its key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(..)")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn certified(chain: &Pem, key: &Pem) -> Result<Option<Arc<CertifiedKey>>, TlsError> {
    let certified = CertifiedKey::from_der(chain.certificates()?, key.private_key()?, &*provider()?)
        .map_err(|error| TlsError::of_own(&error, chain, key))?;
    Ok(Some(Arc::new(certified)))
}

/// Returns the builder of a verifier that requires certificates of clients, signed by these authorities.
fn verifier(authorities: &[Pem]) -> Result<ClientCertVerifierBuilder, TlsError> {
    let mut roots = RootCertStore::empty();
    for pem in authorities {
        for authority in pem.certificates()? {
            roots.add(authority).map_err(|error| TlsError::of_authority(&error, pem))?;
        }
    }
    Ok(WebPkiClientVerifier::builder_with_provider(roots.into(), provider()?))
}

fn build(verifier: ClientCertVerifierBuilder) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    verifier.build().map_err(|error| TlsError::Other(rustls::Error::General(error.to_string())))
}
