//! Foreign implementations that echo over compressed connections.

use crate::{Language, Process};

/// The parameters of permessage-deflate (RFC 7692 section 7.1) in an offer or an answer, or a peer's settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `server_no_context_takeover`
    pub server_no_context_takeover: bool,
    /// `client_no_context_takeover`
    pub client_no_context_takeover: bool,
    /// `server_max_window_bits`
    pub server_max_window_bits: Option<u8>,
    /// `client_max_window_bits`, which a client may offer without a value.
    pub client_max_window_bits: Option<Option<u8>>,
}

/// The negotiated compression of both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Compression of the server's messages.
    pub server: Direction,
    /// Compression of the client's messages.
    pub client: Direction,
}

/// The negotiated compression of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direction {
    /// `true` if messages may refer to earlier ones (context takeover).
    pub context_takeover: bool,
    /// Window size as a power of two.
    pub window_bits: u8,
}

/// The form and the size of a sent message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Compressed to this number of bytes.
    Compressed(usize),
    /// Uncompressed, with this number of bytes.
    Plain(usize),
}

/// A foreign implementation that echoes over one connection after another. See `peers/deflate.py`.
#[derive(Debug)]
pub struct EchoPeer {
    process: Process,
    port: Option<u16>,
}

impl Parameters {
    /// Returns the parameters in a server's `Sec-WebSocket-Extensions` header.
    pub fn of_answer(header: &str) -> Self {
        let mut words = header.split(';').map(str::trim);
        assert_eq!(words.next(), Some("permessage-deflate"));
        let mut parameters = Self::default();
        for word in words {
            let (name, value) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let bits = value.map(|value| value.parse().expect("a number"));
            match name {
                "server_no_context_takeover" => parameters.server_no_context_takeover = true,
                "client_no_context_takeover" => parameters.client_no_context_takeover = true,
                "server_max_window_bits" => parameters.server_max_window_bits = bits,
                "client_max_window_bits" => parameters.client_max_window_bits = Some(bits),
                other => panic!("{other} is not a parameter"),
            }
        }
        parameters
    }

    fn query(&self) -> String {
        let mut query = Vec::new();
        if self.server_no_context_takeover {
            query.push("server_no_context_takeover=true".to_owned());
        }
        if self.client_no_context_takeover {
            query.push("client_no_context_takeover=true".to_owned());
        }
        if let Some(bits) = self.server_max_window_bits {
            query.push(format!("server_max_window_bits={bits}"));
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => query.push(format!("client_max_window_bits={bits}")),
            Some(None) => query.push("client_max_window_bits=true".to_owned()),
            None => {}
        }
        query.join("&")
    }
}

impl EchoPeer {
    /// Starts a client that connects on command.
    pub fn client(language: Language) -> Self {
        Self { process: Process::start(language.program("deflate").arg("client")), port: None }
    }

    /// Starts a server.
    pub fn server(language: Language) -> Self {
        let mut process = Process::start(language.program("deflate").arg("server"));
        let port = process.line().strip_prefix("listening ").and_then(|port| port.parse().ok());
        Self { process, port: Some(port.expect("a port")) }
    }

    /// Returns the URL of a server with these settings.
    pub fn url(&self, settings: &Parameters) -> String {
        format!("ws://127.0.0.1:{}/?{}", self.port.expect("a server"), settings.query())
    }

    /// Makes the client connect and offer these parameters.
    pub fn connect(&mut self, url: &str, offer: &Parameters) {
        self.process.write_line(&format!("{url} {}", offer.query()));
    }

    /// Waits for the negotiated parameters. Returns `None` without compression.
    pub fn wait_open(&mut self) -> Option<Agreed> {
        let line = self.process.line();
        if line == "open none" {
            return None;
        }
        let words = line.strip_prefix("open ").unwrap_or_else(|| panic!("{line}")).split(' ');
        let words: Vec<u8> = words.map(|word| word.parse().expect("a number")).collect();
        let direction =
            |at: usize| Direction { context_takeover: words[at] == 0, window_bits: words[at + 2] };
        Some(Agreed { server: direction(0), client: direction(1) })
    }

    /// Waits until the connection is closed, and returns the forms of the received messages.
    pub fn wait_closed(&mut self) -> Vec<Sent> {
        let line = self.process.line();
        let mut words = line.split(' ');
        assert_eq!((words.next(), words.next()), (Some("closed"), Some("1000")), "{line}");
        words
            .map(|word| {
                let (kind, size) = word.split_at(1);
                let size = size.parse().expect("a size");
                if kind == "c" { Sent::Compressed(size) } else { Sent::Plain(size) }
            })
            .collect()
    }
}
