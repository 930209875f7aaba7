use std::{error::Error, fmt};

use rustls::{AlertDescription, CertificateError, InconsistentKeys, InvalidMessage};

use super::pem::Pem;

/// The reason why TLS could not be set up, or failed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// The peer's certificate has expired.
    Expired,
    /// The peer's certificate is not valid yet.
    NotValidYet,
    /// The server's certificate is valid for other names than the requested one.
    WrongName {
        /// The requested name, if it is known.
        expected: Option<Box<str>>,
        /// The names that the certificate is valid for, if they are known.
        presented: Vec<String>,
    },
    /// The peer's certificate is from an authority that is not trusted here.
    UnknownAuthority,
    /// The peer uses the certificate of an authority (`CA:TRUE`) as its own, which is not valid. `openssl req -x509`
    /// creates such certificates.
    AuthorityAsPeer,
    /// The peer's certificate is revoked or not acceptable for another reason.
    InvalidCertificate(CertificateError),
    /// The peer has to present a certificate and did not.
    NoCertificate,
    /// The peer refused with this alert. It does not accept a certificate, a version or a name.
    Refused(AlertDescription),
    /// The bytes from the peer are not TLS.
    NotTls,
    /// The name cannot appear in a certificate.
    InvalidName(String),
    /// Certificates or keys of this end cannot be read or used. The text contains the file name and the problem.
    Pem(String),
    /// Two settings contradict each other.
    Contradiction(&'static str),
    /// This build has no cryptography.
    NoProvider,
    /// This build has no certificate authorities.
    NoRoots,
    /// Another error of rustls.
    Other(rustls::Error),
}

impl TlsError {
    /// Creates the error for a certificate and key of this end that rustls refuses.
    pub(super) fn of_own(error: &rustls::Error, chain: &Pem, key: &Pem) -> Self {
        Self::Pem(match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                "the private key in {key} does not belong to the first certificate in {chain}: the certificate of the \
                 key has to come first"
            ),
            error => {
                format!("the certificate in {chain} cannot be used with the private key in {key}: {error}")
            }
        })
    }

    /// Creates the error for an authority that rustls refuses to trust.
    pub(super) fn of_authority(error: &rustls::Error, pem: &Pem) -> Self {
        Self::Pem(format!("a certificate in {pem} cannot be trusted as an authority: {error}"))
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => {
                f.write_str("the peer's certificate has expired: it has to be renewed, or this machine's clock is wrong")
            }
            Self::NotValidYet => f.write_str(
                "the peer's certificate is not valid yet: this machine's clock, or that of the authority, is wrong",
            ),
            Self::WrongName { expected, presented } => fmt_wrong_name(f, expected.as_deref(), presented),
            Self::UnknownAuthority => f.write_str(
                "the peer's certificate comes from an authority that is not trusted here: if it should be, trust it with \
                 ca_file or ca_pem",
            ),
            Self::AuthorityAsPeer => f.write_str(
                "the peer sent the certificate of an authority (CA:TRUE), which `openssl req -x509` creates: sign a \
                 certificate for the peer with it, or create one with `-addext basicConstraints=critical,CA:FALSE` and \
                 `-addext subjectAltName=DNS:localhost`",
            ),
            Self::InvalidCertificate(error) => write!(f, "the peer's certificate is not acceptable: {error}"),
            Self::NoCertificate => {
                f.write_str("the peer did not send a certificate, and this end requires one")
            }
            Self::Refused(alert) => fmt_refused(f, *alert),
            Self::NotTls => f.write_str(
                "the peer does not speak TLS: connect with ws:// to a server without TLS, and with wss:// to one with TLS",
            ),
            Self::InvalidName(name) => write!(
                f,
                "the server name {name:?} is invalid: it must be a DNS name or an IP address"
            ),
            Self::Pem(problem) => f.write_str(problem),
            Self::Contradiction(problem) => write!(f, "the TLS settings contradict each other: {problem}"),
            Self::NoProvider => {
                f.write_str("this build has no cryptography for TLS: enable the feature `ring` or `aws-lc-rs`")
            }
            Self::NoRoots => f.write_str(
                "this build trusts no authorities: add a CA with ca_file or ca_pem, or enable the feature \
                 `platform-roots` or `webpki-roots`",
            ),
            Self::Other(error) => write!(f, "TLS failed: {error}"),
        }
    }
}

fn fmt_wrong_name(f: &mut fmt::Formatter<'_>, expected: Option<&str>, presented: &[String]) -> fmt::Result {
    /// Number of names that are shown.
    const MAX_SHOWN: usize = 5;
    f.write_str("the server's certificate is for ")?;
    match presented {
        [] => f.write_str("other names")?,
        names => {
            for (number, name) in names.iter().take(MAX_SHOWN).enumerate() {
                write!(f, "{}{}", if number > 0 { ", " } else { "" }, name.escape_debug())?;
            }
            if names.len() > MAX_SHOWN {
                write!(f, " and {} more", names.len() - MAX_SHOWN)?;
            }
        }
    }
    write!(f, " and not for {}: ", expected.unwrap_or("the requested name"))?;
    f.write_str("use a name of the certificate in the URL, or expect it with ClientTls::server_name")
}

fn fmt_refused(f: &mut fmt::Formatter<'_>, alert: AlertDescription) -> fmt::Result {
    write!(f, "the peer refused the TLS connection ({alert:?})")?;
    f.write_str(match alert {
        AlertDescription::UnknownCA => {
            ": it does not trust the authority of the certificate that this end sent"
        }
        AlertDescription::CertificateRequired => ": it requires a certificate, and this end sent none",
        AlertDescription::CertificateExpired => {
            ": by its clock, the certificate that this end sent has expired"
        }
        AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            ": it does not accept the certificate that this end sent"
        }
        AlertDescription::UnrecognisedName => ": it serves no host with the requested name",
        AlertDescription::ProtocolVersion => {
            ": it supports neither TLS 1.2 nor TLS 1.3, and this end requires one of them"
        }
        AlertDescription::NoApplicationProtocol => ": it does not offer http/1.1",
        _ => "",
    })
}

/// The text contains all information, so this error has no source.
impl Error for TlsError {}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotValidYet
                }
                CertificateError::NotValidForName => {
                    Self::WrongName { expected: None, presented: Vec::new() }
                }
                CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                    expected: Some(expected.to_str().into()),
                    presented: presented.iter().map(|name| bare(name).to_owned()).collect(),
                },
                CertificateError::UnknownIssuer => Self::UnknownAuthority,
                // The type of this error belongs to the verifier, and several versions of the verifier may exist.
                CertificateError::Other(error) if format!("{error:?}").contains("CaUsedAsEndEntity") => {
                    Self::AuthorityAsPeer
                }
                error => Self::InvalidCertificate(error),
            },
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::AlertReceived(alert) => Self::Refused(alert),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            error => Self::Other(error),
        }
    }
}

/// Returns the name in the `DnsName("example.com")` of rustls.
fn bare(presented: &str) -> &str {
    match presented.split_once('(') {
        Some((_, name)) => name.trim_end_matches(')').trim_matches('"'),
        None => presented,
    }
}
