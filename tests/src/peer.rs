use std::{
    path::{Path, PathBuf},
    process::Command,
};

use ws_std::Message;

use crate::Process;

/// A WebSocket of another implementation in a separate process, controlled by the test. See `peers/peer.py`.
#[derive(Debug)]
pub struct Peer {
    process: Process,
    /// The port of a server.
    port: Option<u16>,
    secure: bool,
    headers: Vec<(String, String)>,
    subprotocol: Option<String>,
}

/// The implementation of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// `websockets`.
    Python,
    /// `ws`.
    Node,
}

/// A peer's settings for the opening handshake.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Offered or supported subprotocols.
    pub subprotocols: Vec<&'static str>,
    /// A header line to send.
    pub header: Option<&'static str>,
    /// Maximum size of received messages in bytes.
    pub max_size: Option<usize>,
    /// Status and body with which a server refuses all clients.
    pub refuse: Option<(u16, &'static str)>,
    /// File with the certificate authority that a client trusts, for `wss://`.
    pub ca: Option<PathBuf>,
    /// `true` if a client opens the WebSocket over HTTP/2 (RFC 8441). Only the Node peer can.
    pub http2: bool,
    /// Files with a server's certificate and key, for `wss://`.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Peer {
    /// Starts a client that connects at once. [`wait_open`](Self::wait_open) and [`wait_refused`](Self::wait_refused)
    /// wait for the result.
    pub fn client(language: Language, url: &str, terms: &Terms) -> Self {
        Self::start(language, &["client", url], terms)
    }

    /// Starts a server that serves the first client.
    pub fn server(language: Language, terms: &Terms) -> Self {
        let mut peer = Self::start(language, &["server"], terms);
        peer.port = Some(peer.expect("listening")[0].parse().expect("a port"));
        peer
    }

    fn start(language: Language, role: &[&str], terms: &Terms) -> Self {
        let mut command = language.program("peer");
        command.args(role);
        for name in &terms.subprotocols {
            command.args(["--subprotocol", name]);
        }
        if let Some(header) = terms.header {
            command.args(["--header", header]);
        }
        if let Some(size) = terms.max_size {
            command.args(["--max-size", &size.to_string()]);
        }
        if let Some((status, body)) = terms.refuse {
            command.args(["--refuse", &status.to_string(), "--body", body]);
        }
        if let Some(ca) = &terms.ca {
            command.arg("--ca").arg(ca);
        }
        if terms.http2 {
            command.arg("--http2");
        }
        if let Some((certificate, key)) = &terms.certificate {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        let process = Process::start(&mut command);
        let secure = terms.certificate.is_some();
        Self { process, port: None, secure, headers: Vec::new(), subprotocol: None }
    }

    /// Returns the URL of a server.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://127.0.0.1:{}{path}", self.port.expect("a server"))
    }

    /// Waits until the connection is open.
    pub fn wait_open(&mut self) {
        let subprotocol = self.expect("open").remove(0);
        self.subprotocol = Some(subprotocol).filter(|name| name != "-");
    }

    /// Waits until the client is refused. Returns status and body.
    pub fn wait_refused(&mut self) -> (u16, String) {
        let words = self.expect("refused");
        (words[0].parse().expect("a status"), text(&words[1]))
    }

    /// Returns a header that the peer received in the opening handshake.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Returns the negotiated subprotocol as the peer reports it.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Makes the peer send a message.
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) {
        let message = message.into();
        self.process.write_line(&format!("{} {}", kind(&message), hex(message.as_bytes())));
    }

    /// Makes the peer send a message in fragments.
    pub fn send_fragments(&mut self, fragments: &[Message<'_>]) {
        let mut line = format!("fragments {}", kind(&fragments[0]));
        for fragment in fragments {
            line.push(' ');
            line.push_str(&hex(fragment.as_bytes()));
        }
        self.process.write_line(&line);
    }

    /// Waits until the peer has received a message, and returns it.
    pub fn receive(&mut self) -> Message<'static> {
        self.process.write_line("receive");
        match self.reply() {
            (kind, words) if kind == "text" => text(&words[0]).into(),
            (kind, words) if kind == "binary" => bytes(&words[0]).into(),
            other => panic!("no message but {other:?}"),
        }
    }

    /// Waits until the peer has received a message, and returns its fragments. Only the Python peer reports them.
    pub fn receive_fragments(&mut self) -> Vec<Vec<u8>> {
        self.process.write_line("receive-fragments");
        self.expect("fragments")[1..].iter().map(|word| bytes(word)).collect()
    }

    /// Makes the peer ping, and waits until it has received the pong.
    pub fn ping(&mut self, payload: &[u8]) {
        self.process.write_line(&format!("ping {}", hex(payload)));
        assert_eq!(self.expect("pong"), [hex(payload)]);
    }

    /// Makes the peer close, and returns the final code and reason as the peer reports them.
    pub fn close(&mut self, code: u16, reason: &str) -> (u16, String) {
        self.process.write_line(&format!("close {code} {}", hex(reason.as_bytes())));
        self.closed()
    }

    /// Waits until the peer sees the end of the connection, and returns code and reason.
    pub fn wait_closed(&mut self) -> (u16, String) {
        self.process.write_line("receive");
        self.closed()
    }

    /// Makes the peer close its socket without a Close frame.
    pub fn vanish(&mut self) {
        self.process.write_line("vanish");
        self.expect("vanished");
    }

    fn closed(&mut self) -> (u16, String) {
        let words = self.expect("closed");
        (words[0].parse().expect("a code"), text(&words[1]))
    }

    fn expect(&mut self, verb: &str) -> Vec<String> {
        let (found, words) = self.reply();
        assert_eq!(found, verb, "{words:?}");
        words
    }

    /// Returns the next reply, apart from received headers, which are stored.
    fn reply(&mut self) -> (String, Vec<String>) {
        loop {
            let line = self.process.line();
            let mut words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
            let verb = words.remove(0);
            if verb != "header" {
                return (verb, words);
            }
            self.headers.push((words[0].clone(), text(&words[1])));
        }
    }
}

impl Language {
    /// Returns a command for a program in the folder `peers`.
    pub(crate) fn program(self, name: &str) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (interpreter, package, extension) = match self {
            Self::Python => (folder.join(".venv/bin/python"), ".venv", "py"),
            Self::Node => (PathBuf::from("node"), "node_modules/ws", "mjs"),
        };
        installed(&folder.join(package));
        let mut command = Command::new(interpreter);
        command.arg(folder.join(format!("peers/{name}.{extension}")));
        command
    }
}

fn installed(path: &Path) {
    assert!(path.exists(), "{} is missing: run tests/setup.sh first", path.display());
}

fn kind(message: &Message<'_>) -> &'static str {
    if message.is_text() { "text" } else { "binary" }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| char::from(DIGITS[usize::from(digit)]));
    std::iter::once('x').chain(digits).collect()
}

fn bytes(word: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a digit") as u8;
    let digits = word.strip_prefix('x').expect("an x").as_bytes();
    digits.chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

fn text(word: &str) -> String {
    String::from_utf8(bytes(word)).expect("UTF-8")
}
