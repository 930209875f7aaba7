use crate::{Folder, Language, Process, certificates::Identity};

/// A proxy of another implementation in a separate process. See `peers/foreign_proxy.py`.
#[derive(Debug)]
pub struct ForeignProxy {
    process: Option<Process>,
    port: u16,
    _folder: Folder,
}

impl ForeignProxy {
    /// Starts a proxy of this kind. With a user, in the form `name:password`, it demands authentication. With an identity, it
    /// uses TLS.
    pub fn start(kind: &str, user: Option<&str>, identity: Option<&Identity>) -> Self {
        let folder = Folder::new();
        let mut command = Language::Python.program("foreign_proxy");
        command.arg(kind);
        if let Some(user) = user {
            command.args(["--user", user]);
        }
        if let Some(Identity { chain, key }) = identity {
            folder.write("proxy.pem", chain);
            folder.write("proxy.key", key);
            command.arg("--cert").arg(folder.file("proxy.pem")).arg("--key").arg(folder.file("proxy.key"));
        }
        let mut process = Process::start(&mut command);
        let line = process.line();
        let port = line.strip_prefix("listening ").expect("a port").parse().expect("a number");
        Self { process: Some(process), port, _folder: folder }
    }

    /// Returns the host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Ends the proxy by the end of its input, so that it also ends its own processes.
impl Drop for ForeignProxy {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.finish();
        }
    }
}
