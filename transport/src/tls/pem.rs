use std::{fs, path::Path};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};

use super::TlsError;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Pem(format!("cannot read {}: {error}", path.display())))
}

/// All certificates in a PEM text, of which there must be one.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, pem::Error>>()
        .map_err(|error| TlsError::Pem(format!("the certificates are no PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(TlsError::Pem("there is no certificate in the PEM that should hold one".into()));
    }
    Ok(certificates)
}

/// The first private key in a PEM text.
pub(super) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            TlsError::Pem("there is no private key in the PEM that should hold one".into())
        }
        error => TlsError::Pem(format!("the private key is no PEM: {error}")),
    })
}
