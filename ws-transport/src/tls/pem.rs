use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};

use super::TlsError;

/// A PEM text, and the file that it was read from, for errors.
#[derive(Clone)]
pub(super) struct Pem {
    text: Vec<u8>,
    file: Option<PathBuf>,
}

impl Pem {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        match fs::read(path) {
            Ok(text) => Ok(Self { text, file: Some(path.to_owned()) }),
            Err(error) => Err(TlsError::Pem(format!("cannot read {}: {error}", path.display()))),
        }
    }

    pub(super) fn from_text(text: &[u8]) -> Self {
        Self { text: text.to_vec(), file: None }
    }

    /// Returns all certificates. There must be at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(&self.text)
            .collect::<Result<Vec<_>, pem::Error>>()
            .map_err(|error| TlsError::Pem(format!("cannot read the certificates in {self}: {error}")))?;
        if certificates.is_empty() {
            return Err(TlsError::Pem(format!(
                "there is no certificate in {self}: it needs a part that begins with -----BEGIN CERTIFICATE-----"
            )));
        }
        Ok(certificates)
    }

    /// Returns the first private key.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::Pem(format!(
                "there is no private key in {self}: it needs a part that begins with -----BEGIN PRIVATE KEY-----"
            )),
            error => TlsError::Pem(format!("cannot read the private key in {self}: {error}")),
        })
    }
}

/// Shows the name of the file, if there is one.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display()),
            None => f.write_str("the PEM text"),
        }
    }
}

/// Omits the text, which may contain a private key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({self}, {} bytes)", self.text.len())
    }
}
