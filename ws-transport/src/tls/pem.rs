use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};

#[cfg(feature = "encrypted-keys")]
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::TlsError;

/// A PEM text, and the file that it was read from, for errors.
#[derive(Clone)]
pub(super) struct Pem {
    text: Vec<u8>,
    file: Option<PathBuf>,
    /// The password of the private key, if it is encrypted.
    #[cfg(feature = "encrypted-keys")]
    password: Option<Vec<u8>>,
}

impl Pem {
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        match fs::read(path) {
            Ok(text) => Ok(Self { file: Some(path.to_owned()), ..Self::from_text(&text) }),
            Err(error) => Err(TlsError::Pem(format!("cannot read {}: {error}", path.display()))),
        }
    }

    pub(super) fn from_text(text: &[u8]) -> Self {
        Self {
            text: text.to_vec(),
            file: None,
            #[cfg(feature = "encrypted-keys")]
            password: None,
        }
    }

    /// Reads all certificates in the files of a folder. Other files, such as keys, are ignored.
    pub(super) fn read_folder(folder: &Path) -> Result<Vec<Self>, TlsError> {
        let unreadable = |error: std::io::Error| {
            TlsError::Pem(format!("cannot read the folder {}: {error}", folder.display()))
        };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            // `openssl rehash` creates links to the same files. A certificate may be trusted twice.
            if path.is_file() {
                let pem = Self::read(&path)?;
                files.extend(pem.contains(CERTIFICATE).then_some(pem));
            }
        }
        if files.is_empty() {
            return Err(TlsError::Pem(format!("there is no certificate in the folder {}", folder.display())));
        }
        Ok(files)
    }

    /// Sets the password of the private key.
    #[cfg(feature = "encrypted-keys")]
    pub(super) fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.as_bytes().to_vec());
        self
    }

    fn contains(&self, beginning: &str) -> bool {
        self.text.windows(beginning.len()).any(|window| window == beginning.as_bytes())
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
        if self.contains(ENCRYPTED_KEY) {
            return self.decrypted_key();
        }
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|error| match error {
            pem::Error::NoItemsFound => TlsError::Pem(format!(
                "there is no private key in {self}: it needs a part that begins with -----BEGIN PRIVATE KEY-----"
            )),
            error => TlsError::Pem(format!("cannot read the private key in {self}: {error}")),
        })
    }
}

/// The beginning of a certificate.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
/// The beginning of an encrypted private key (RFC 7468 section 11).
const ENCRYPTED_KEY: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

impl Pem {
    #[cfg(not(feature = "encrypted-keys"))]
    fn decrypted_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        Err(TlsError::Pem(format!(
            "the private key in {self} is encrypted: enable the feature encrypted-keys, or decrypt it"
        )))
    }

    /// Decrypts the private key (RFC 5958 section 3).
    #[cfg(feature = "encrypted-keys")]
    fn decrypted_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};

        const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
        let Some(password) = &self.password else {
            return Err(TlsError::Pem(format!(
                "the private key in {self} is encrypted: use the method with a password"
            )));
        };
        let text = String::from_utf8_lossy(&self.text);
        let begin = text.find(ENCRYPTED_KEY).unwrap_or_default();
        let end = text.find(END).map_or(text.len(), |end| end + END.len());
        let block = text.get(begin..end).unwrap_or_default();
        // The error of a wrong password is the same as that of damaged data.
        let failed = || {
            TlsError::Pem(format!(
                "the private key in {self} cannot be decrypted: the password is wrong, the key is damaged, or the \
                 method of encryption is not supported (PBES2 with AES is)"
            ))
        };
        let (_, encrypted) = SecretDocument::from_pem(block).map_err(|_| failed())?;
        let encrypted = EncryptedPrivateKeyInfoRef::try_from(encrypted.as_bytes()).map_err(|_| failed())?;
        let key = encrypted.decrypt(password).map_err(|_| failed())?;
        Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
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
