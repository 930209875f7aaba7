use std::{error::Error, fmt};

use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// Why TLS could not be set up, or failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate has expired.
    Expired,
    /// The peer's certificate is not valid yet.
    NotValidYet,
    /// The server's certificate is for other names than the one that was asked for.
    WrongName,
    /// The peer's certificate comes from an authority that is not trusted here.
    UnknownAuthority,
    /// The peer's certificate is revoked or otherwise no good; with what rustls says.
    InvalidCertificate(CertificateError),
    /// The server wants a certificate from the client, and there is none.
    NoCertificate,
    /// The peer refused, with this alert: it does not like a certificate, a version, a name.
    Refused(AlertDescription),
    /// What the peer speaks is not TLS.
    NotTls,
    /// The peer's stream ended without the close that TLS demands: something may be missing.
    Truncated,
    /// This name is not one that a certificate can be for.
    InvalidName(String),
    /// Certificates or keys could not be read; with what and why.
    Pem(String),
    /// No cryptography is built in.
    NoProvider,
    /// No authorities are built in.
    NoRoots,
    /// Anything else that rustls has to say.
    Other(rustls::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the peer's certificate has expired"),
            Self::NotValidYet => f.write_str("the peer's certificate is not valid yet; is the clock right?"),
            Self::WrongName => f.write_str("the server's certificate is not for the name that was asked for"),
            Self::UnknownAuthority => f.write_str(
                "the peer's certificate comes from an authority that is not trusted here; trust its CA if it should be",
            ),
            Self::InvalidCertificate(error) => write!(f, "the peer's certificate is no good: {error}"),
            Self::NoCertificate => f.write_str("the peer did not send the certificate that is required"),
            Self::Refused(alert) => write!(f, "the peer refused the TLS connection: {alert:?}"),
            Self::NotTls => f.write_str("the peer does not speak TLS; is it ws:// and not wss://?"),
            Self::Truncated => f.write_str("the peer's TLS stream ended without close_notify"),
            Self::InvalidName(name) => write!(f, "no certificate can be for the name {name:?}"),
            Self::Pem(what) => f.write_str(what),
            Self::NoProvider => {
                f.write_str("this build has no cryptography for TLS: enable the feature `ring` or `aws-lc-rs`")
            }
            Self::NoRoots => f.write_str(
                "this build trusts no authorities: name a CA, or enable the feature `platform-roots` or `webpki-roots`",
            ),
            Self::Other(error) => write!(f, "TLS failed: {error}"),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Other(error) => Some(error),
            _ => None,
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotValidYet
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::WrongName
                }
                CertificateError::UnknownIssuer => Self::UnknownAuthority,
                error => Self::InvalidCertificate(error),
            },
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::Refused(alert),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            error => Self::Other(error),
        }
    }
}
