use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, client::danger::ServerCertVerifier, crypto::CryptoProvider};
use rustls_pki_types::{CertificateDer, ServerName};

use super::{
    TlsError, TlsSession, alpn,
    key_log::KeyLogFile,
    pem::Pem,
    provider,
    verifier::{AnyName, Anyone, default_verifier, verifier_of},
};

/// TLS settings of a client: the trusted certificate authorities, and the client certificate.
///
/// By default, a client trusts the authorities of the operating system (feature `platform-roots`), or otherwise those
/// compiled in (feature `webpki-roots`). Clients accept these settings, or a [`ClientTlsConfig`] created from a
/// configuration of rustls.
///
/// The configuration is built for the first connection, with the present authorities of the operating system. Clones share it, so
/// that further connections to a server resume the TLS session, which saves the exchange of certificates.
#[derive(Clone, Default)]
#[must_use]
pub struct ClientTls {
    settings: Settings,
    server_name: Option<String>,
    /// The configuration of these settings, once it was needed. Clones share it, and with it the sessions to resume.
    built: Arc<OnceLock<Arc<ClientConfig>>>,
}

/// The settings from which the configuration follows.
#[derive(Clone, Default)]
struct Settings {
    authorities: Vec<Pem>,
    trusts_defaults: bool,
    accepts_any_certificate: bool,
    accepts_any_name: bool,
    /// The certificate chain and its private key.
    identity: Option<(Pem, Pem)>,
    key_log: Option<PathBuf>,
    /// The first file that could not be read.
    error: Option<TlsError>,
}

impl ClientTls {
    /// Creates settings that trust the default authorities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates the TLS of a client from a configuration of rustls. It contains all settings except the server's name.
    ///
    /// ```compile_fail
    /// # fn f(config: std::sync::Arc<ws_transport::tls::rustls::ClientConfig>) {
    /// use ws_transport::tls::ClientTls;
    /// // `config` contains the trusted authorities.
    /// let _ = ClientTls::from_config(config).ca_file("ca.pem");
    /// # }
    /// ```
    pub fn from_config(config: Arc<ClientConfig>) -> ClientTlsConfig {
        config.into()
    }

    /// Trusts the authorities in this PEM file, and no others. Call it again to add more.
    pub fn ca_file(mut self, path: impl AsRef<Path>) -> Self {
        match Pem::read(path.as_ref()) {
            Ok(pem) => self.settings().authorities.push(pem),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Trusts the authorities in this PEM text, and no others. Call it again to add more.
    pub fn ca_pem(mut self, pem: &[u8]) -> Self {
        self.settings().authorities.push(Pem::from_text(pem));
        self
    }

    /// Trusts the authorities in all PEM files of this folder, and no others. Files without a certificate are ignored.
    /// Call it again to add more. Connecting fails if there is no certificate in the folder.
    pub fn ca_folder(mut self, path: impl AsRef<Path>) -> Self {
        match Pem::read_folder(path.as_ref()) {
            Ok(files) => self.settings().authorities.extend(files),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Trusts the default authorities in addition to those of [`ca_file`](Self::ca_file), [`ca_pem`](Self::ca_pem) and
    /// [`ca_folder`](Self::ca_folder).
    pub fn default_authorities(mut self) -> Self {
        self.settings().trusts_defaults = true;
        self
    }

    /// Sets the client certificate for servers that request one (mTLS), from PEM files of the chain and its private
    /// key.
    pub fn certificate_files(mut self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        match (Pem::read(chain.as_ref()), Pem::read(key.as_ref())) {
            (Ok(chain), Ok(key)) => self.settings().identity = Some((chain, key)),
            (Err(error), _) | (_, Err(error)) => self.fail(error),
        }
        self
    }

    /// Sets the client certificate for servers that request one (mTLS), from PEM texts of the chain and its private
    /// key.
    pub fn certificate_pem(mut self, chain: &[u8], key: &[u8]) -> Self {
        self.settings().identity = Some((Pem::from_text(chain), Pem::from_text(key)));
        self
    }

    /// Sets the password of the private key of the client certificate (PKCS#8 with PBES2). Call it after
    /// [`certificate_files`](Self::certificate_files) or [`certificate_pem`](Self::certificate_pem).
    #[cfg(feature = "encrypted-keys")]
    pub fn key_password(mut self, password: &str) -> Self {
        let settings = self.settings();
        settings.identity = settings.identity.take().map(|(chain, key)| (chain, key.with_password(password)));
        self
    }

    /// Appends the secrets of all sessions to this file, in the format of NSS (`SSLKEYLOGFILE`), which Wireshark reads.
    /// The reader of the file can decrypt all data. Use it only to debug. Default: no file.
    pub fn key_log_file(mut self, path: impl AsRef<Path>) -> Self {
        self.settings().key_log = Some(path.as_ref().to_owned());
        self
    }

    /// Sets the name that the server's certificate has to be valid for. Default: the host of the URL.
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.to_owned());
        self
    }

    /// Disables certificate verification and trusts any server. An attacker in the network can read and change all
    /// data. Use it only for tests on your own machine.
    ///
    /// Connecting fails if this is combined with [`ca_file`](Self::ca_file) or [`ca_pem`](Self::ca_pem).
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.settings().accepts_any_certificate = true;
        self
    }

    /// Accepts certificates of the authorities of [`ca_file`](Self::ca_file), [`ca_pem`](Self::ca_pem) and
    /// [`ca_folder`](Self::ca_folder) for any server name. Any owner of such a certificate can read and change all data.
    /// Use it for private authorities that issue certificates without names.
    ///
    /// Connecting fails without such an authority, and if this is combined with
    /// [`default_authorities`](Self::default_authorities), because any attacker can obtain a certificate from these.
    pub fn danger_accept_any_name(mut self) -> Self {
        self.settings().accepts_any_name = true;
        self
    }

    /// Returns the settings for a change. The configuration is built again.
    fn settings(&mut self) -> &mut Settings {
        self.built = Arc::default();
        &mut self.settings
    }

    fn fail(&mut self, error: TlsError) {
        self.settings().error.get_or_insert(error);
    }

    /// Creates a session with the server of this name.
    ///
    /// # Errors
    ///
    /// - Returns [`TlsError::Pem`] if a file or text cannot be read.
    /// - Returns [`TlsError::Contradiction`] if two settings contradict each other.
    /// - Returns [`TlsError::InvalidName`] if the name cannot appear in a certificate.
    /// - Returns [`TlsError::NoProvider`] or [`TlsError::NoRoots`] if this build has no cryptography or no
    ///   authorities.
    pub fn session(&self, host: &str) -> Result<TlsSession, TlsError> {
        session(self.build()?, self.server_name.as_deref().unwrap_or(host))
    }

    fn build(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(built) = self.built.get() {
            return Ok(built.clone());
        }
        // An error is not kept, because a later attempt may succeed.
        let config = self.settings.build()?;
        Ok(self.built.get_or_init(|| config).clone())
    }
}

impl Settings {
    fn build(&self) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let provider = provider()?;
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = builder.dangerous().with_custom_certificate_verifier(self.verifier(provider)?);
        let mut config = match &self.identity {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain.certificates()?, key.private_key()?)
                .map_err(|error| TlsError::of_own(&error, chain, key))?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn();
        if let Some(path) = &self.key_log {
            config.key_log = KeyLogFile::open(path)?;
        }
        Ok(Arc::new(config))
    }

    fn own_authorities(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates = self.authorities.iter().map(Pem::certificates).collect::<Result<Vec<_>, _>>()?;
        Ok(certificates.concat())
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
        let has_authorities = !self.authorities.is_empty() || self.trusts_defaults;
        if self.accepts_any_certificate && (has_authorities || self.accepts_any_name) {
            return Err(TlsError::Contradiction(
                "any certificate is accepted (danger_accept_any_certificate) and authorities are named (ca_file, ca_pem)",
            ));
        }
        if self.accepts_any_name && (self.authorities.is_empty() || self.trusts_defaults) {
            return Err(TlsError::Contradiction(
                "any name is accepted (danger_accept_any_name) and the default authorities are trusted. Trust only own \
                 ones (ca_file, ca_pem)",
            ));
        }
        if self.accepts_any_certificate {
            return Ok(Arc::new(Anyone(provider)));
        }
        if self.authorities.is_empty() || self.trusts_defaults {
            return default_verifier(provider, self.own_authorities()?);
        }
        let mut roots = RootCertStore::empty();
        for pem in &self.authorities {
            for authority in pem.certificates()? {
                roots.add(authority).map_err(|error| TlsError::of_authority(&error, pem))?;
            }
        }
        let verifier = verifier_of(roots, provider)?;
        Ok(if self.accepts_any_name { Arc::new(AnyName(verifier)) } else { verifier })
    }
}

/// The TLS of a client that is complete except for the server's name, created from a [`ClientTls`] or from a
/// configuration of rustls.
#[derive(Clone)]
#[must_use]
pub struct ClientTlsConfig {
    source: ClientConfigSource,
    server_name: Option<String>,
}

#[derive(Clone)]
enum ClientConfigSource {
    Settings(Box<ClientTls>),
    Config(Arc<ClientConfig>),
}

impl ClientTlsConfig {
    /// Sets the name that the server's certificate has to be valid for. Default: the host of the URL.
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.to_owned());
        self
    }

    /// Creates a session with the server of this name.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ClientTls::session`].
    pub fn session(&self, host: &str) -> Result<TlsSession, TlsError> {
        let config = match &self.source {
            ClientConfigSource::Settings(tls) => tls.build()?,
            ClientConfigSource::Config(config) => config.clone(),
        };
        session(config, self.server_name.as_deref().unwrap_or(host))
    }
}

impl From<ClientTls> for ClientTlsConfig {
    fn from(mut tls: ClientTls) -> Self {
        let server_name = tls.server_name.take();
        Self { source: ClientConfigSource::Settings(Box::new(tls)), server_name }
    }
}

impl From<Arc<ClientConfig>> for ClientTlsConfig {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self { source: ClientConfigSource::Config(config), server_name: None }
    }
}

impl From<ClientConfig> for ClientTlsConfig {
    fn from(config: ClientConfig) -> Self {
        Arc::new(config).into()
    }
}

/// Shows only settings that differ from the defaults.
impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            authorities,
            trusts_defaults,
            accepts_any_certificate,
            accepts_any_name,
            identity,
            key_log,
            error,
        } = &self.settings;
        let mut shown = f.debug_struct("ClientTls");
        let fields: [(&str, &dyn fmt::Debug, bool); 8] = [
            ("authorities", authorities, !authorities.is_empty()),
            ("trusts_defaults", trusts_defaults, *trusts_defaults),
            ("accepts_any_certificate", accepts_any_certificate, *accepts_any_certificate),
            ("accepts_any_name", accepts_any_name, *accepts_any_name),
            ("identity", identity, identity.is_some()),
            ("key_log", key_log, key_log.is_some()),
            ("error", error, error.is_some()),
            ("server_name", &self.server_name, self.server_name.is_some()),
        ];
        for (name, value, is_set) in fields {
            if is_set {
                shown.field(name, value);
            }
        }
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientTlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = match &self.source {
            ClientConfigSource::Settings(tls) => Some(tls),
            ClientConfigSource::Config(_) => None,
        };
        f.debug_struct("ClientTlsConfig")
            .field("server_name", &self.server_name)
            .field("settings", &settings)
            .finish_non_exhaustive()
    }
}

fn session(config: Arc<ClientConfig>, name: &str) -> Result<TlsSession, TlsError> {
    let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::InvalidName(name.to_owned()))?;
    Ok(TlsSession::new(rustls::ClientConnection::new(config, name)?.into()))
}
