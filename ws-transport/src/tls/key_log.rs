use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::KeyLog;

use super::TlsError;

/// A file with the secrets of TLS sessions, in the format of NSS, which Wireshark reads.
#[derive(Debug)]
pub(super) struct KeyLogFile(Mutex<File>);

impl KeyLogFile {
    /// Opens the file. Only its owner may read a new file.
    pub(super) fn open(path: &Path) -> Result<Arc<dyn KeyLog>, TlsError> {
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = opened.map_err(|error| {
            TlsError::Pem(format!("cannot write the key log {}: {error}", path.display()))
        })?;
        Ok(Arc::new(Self(Mutex::new(file))))
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        // A full disk must not end connections. The line is written at once, because other processes may append too.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}
