//! The servers under attack.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use ws_benches::server::Server;

use crate::Result;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Std,
    Smol,
    Tungstenite,
    Npm,
}

/// The part of a server that an attack needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Deflate,
    /// A page of 8 MiB at `/page`.
    Page,
    Tls,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Std, Self::Smol, Self::Tungstenite, Self::Npm];

    pub(crate) fn parse(name: &str) -> Result<Self, &'static str> {
        match name {
            "std" => Ok(Self::Std),
            "smol" => Ok(Self::Smol),
            "tungstenite" => Ok(Self::Tungstenite),
            "ws" => Ok(Self::Npm),
            _ => Err("a server is std, smol, tungstenite or ws"),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Std => "`ws-std`",
            Self::Smol => "`ws-smol`",
            Self::Tungstenite => "`tungstenite`",
            Self::Npm => "npm `ws`",
        }
    }

    pub(crate) const fn is_ours(self) -> bool {
        matches!(self, Self::Std | Self::Smol)
    }

    /// Returns `true` if the server has that part.
    pub(crate) fn has(self, needs: Needs) -> bool {
        self != Self::Tungstenite || needs == Needs::Nothing
    }

    pub(crate) fn start(self, needs: Needs, certificate: &Certificate) -> Result<Server> {
        let files = match needs {
            Needs::Tls => vec![certificate.chain(), certificate.key()],
            _ => vec![],
        };
        let mut command = match self {
            Self::Std | Self::Smol => {
                let mut command = Command::new(env::current_exe()?);
                command.args(["--serve", if self == Self::Std { "std" } else { "smol" }]);
                command
            }
            Self::Tungstenite => Command::new(env::current_exe()?.with_file_name("tungstenite")),
            Self::Npm => {
                let mut command = Command::new("node");
                // A script on the command line finds its modules from the current folder.
                command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests"));
                command.args(["-e", include_str!("ws.cjs"), "--"]);
                command
            }
        };
        let started = Server::start(command.args(files));
        Ok(started.map_err(|error| format!("{}: {error}; see the README of the benches", self.name()))?)
    }
}

/// A certificate in a folder that is removed at the end.
pub(crate) struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    pub(crate) fn new() -> Result<Self> {
        let folder = env::temp_dir().join(format!("amplify-{}", process::id()));
        fs::create_dir_all(&folder)?;
        let certificate = Self { folder };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-newkey", "ec"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.arg("-keyout").arg(certificate.key()).arg("-out").arg(certificate.chain());
        match openssl.stderr(Stdio::null()).status()?.success() {
            true => Ok(certificate),
            false => Err("openssl cannot make a certificate".into()),
        }
    }

    fn chain(&self) -> PathBuf {
        self.folder.join("chain.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
