use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::{Session, TlsError, alpn, pem, provider};

/// How a client does TLS: whom it trusts, and who it says it is.
///
/// Without more, it trusts the authorities of the operating system (feature `platform-roots`), or else
/// those compiled in (feature `webpki-roots`).
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ClientTls {
    trust: Trust,
    identity: Option<(Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>)>,
    server_name: Option<String>,
    config: Option<Arc<ClientConfig>>,
    /// The first thing that could not be read.
    error: Option<TlsError>,
}

#[derive(Clone, Debug, Default)]
enum Trust {
    #[default]
    Default,
    Authorities(Vec<CertificateDer<'static>>),
    Anyone,
}

impl ClientTls {
    /// Trusts the default authorities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities in this PEM file, and no others. Call it again for more.
    pub fn ca_file(self, path: impl AsRef<Path>) -> Self {
        match pem::read(path.as_ref()) {
            Ok(pem) => self.ca_pem(&pem),
            Err(error) => self.failed(error),
        }
    }

    /// Trusts the authorities in this PEM text, and no others. Call it again for more.
    pub fn ca_pem(mut self, pem: &[u8]) -> Self {
        let mut authorities = match pem::certificates(pem) {
            Ok(authorities) => authorities,
            Err(error) => return self.failed(error),
        };
        if let Trust::Authorities(before) = &mut self.trust {
            authorities.append(before);
        }
        self.trust = Trust::Authorities(authorities);
        self
    }

    /// Shows this certificate to servers that ask for one (mTLS); from PEM files of the chain and its key.
    pub fn certificate_files(self, chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        match (pem::read(chain.as_ref()), pem::read(key.as_ref())) {
            (Ok(chain), Ok(key)) => self.certificate_pem(&chain, &key),
            (Err(error), _) | (_, Err(error)) => self.failed(error),
        }
    }

    /// Shows this certificate to servers that ask for one (mTLS); from PEM texts of the chain and its key.
    pub fn certificate_pem(mut self, chain: &[u8], key: &[u8]) -> Self {
        match (pem::certificates(chain), pem::private_key(key)) {
            (Ok(chain), Ok(key)) => {
                self.identity = Some((chain, Arc::new(key)));
                self
            }
            (Err(error), _) | (_, Err(error)) => self.failed(error),
        }
    }

    /// Expects the server's certificate to be for this name, and not for the host of the URL.
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.to_owned());
        self
    }

    /// Trusts whoever answers. Everything sent can be read and changed by anybody on the way; this is for
    /// tests on one's own machine.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.trust = Trust::Anyone;
        self
    }

    /// Uses a configuration made elsewhere, instead of all that is said here but the server's name.
    pub fn config(mut self, config: Arc<ClientConfig>) -> Self {
        self.config = Some(config);
        self
    }

    fn failed(mut self, error: TlsError) -> Self {
        self.error.get_or_insert(error);
        self
    }

    /// A session with the server of this name.
    ///
    /// # Errors
    ///
    /// Something could not be read, this build lacks something, or the name is none.
    pub fn session(&self, host: &str) -> Result<Session, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::InvalidName(name.to_owned()))?;
        let config = match &self.config {
            Some(config) => config.clone(),
            None => Arc::new(self.build()?),
        };
        let connection = rustls::ClientConnection::new(config, name)?;
        Ok(Session::new(connection.into()))
    }

    fn build(&self) -> Result<ClientConfig, TlsError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let provider = provider()?;
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &self.trust {
            Trust::Default => {
                builder.dangerous().with_custom_certificate_verifier(default_verifier(provider)?)
            }
            Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
            Trust::Authorities(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    roots.add(authority.clone())?;
                }
                let verifier =
                    rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
                        .build()
                        .map_err(|error| TlsError::Other(rustls::Error::General(error.to_string())))?;
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = match &self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn();
        Ok(config)
    }
}

/// Trusts the default authorities of this build.
#[allow(unreachable_code, reason = "which features are on decides which line is the last")]
fn default_verifier(provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    #[cfg(feature = "platform-roots")]
    return Ok(Arc::new(rustls_platform_verifier::Verifier::new(provider)?));
    #[cfg(feature = "webpki-roots")]
    return {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
            .map_err(|error| TlsError::Other(rustls::Error::General(error.to_string())))
    };
    drop(provider);
    Err(TlsError::NoRoots)
}

/// Trusts whoever has the key of whatever certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
