//! The implementations that judge conversations.

use std::{
    io::{self, Read, Write},
    path::Path,
    process::Command,
    sync::Arc,
};

use tungstenite::protocol::{Role as TheirRole, WebSocket, WebSocketConfig};
use ws_std::ws_core::{Config, Connection, Event, Role, Timestamp};
use ws_tests::Process;

use crate::conversation::{Case, LIMIT};

/// Another implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    Tungstenite,
    Wsproto,
    Websockets,
    Ws,
    Wslay,
}

/// An implementation's result for a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) said: Vec<Said>,
    pub(crate) end: End,
}

/// The messages and pings that the application receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Still open.
    Open,
    /// Closed by a Close with this code.
    Closed(Option<u16>),
    /// Failed by an error that is answered with this code.
    Failed(u16),
}

/// Returns our core's verdict on a conversation that arrives in pieces of these sizes.
pub(crate) fn ours(case: &Case, sizes: &[usize]) -> Verdict {
    let mut config = Config::default();
    config.max_message_size = LIMIT;
    let mut connection = match case.role {
        Role::Server => Connection::server(Arc::new(config), Timestamp::ZERO),
        Role::Client => Connection::client(Arc::new(config), [7; 32], Timestamp::ZERO),
    };
    let mut said = Vec::new();
    let mut end = End::Open;
    let mut stream = &mut case.pieces.concat()[..];
    let mut sizes = sizes.iter().cycle();
    while !stream.is_empty() {
        let size = sizes.next().map_or(1, |&size| size).min(stream.len());
        let mut input = stream.split_off_mut(..size).expect("bytes");
        loop {
            match connection.receive(&mut input) {
                Ok(Some(Event::Message(message))) if message.is_text() => {
                    said.push(Said::Text(message.as_bytes().to_vec()));
                }
                Ok(Some(Event::Message(message))) => said.push(Said::Binary(message.as_bytes().to_vec())),
                Ok(Some(Event::Ping(payload))) => said.push(Said::Ping(payload.into_owned())),
                Ok(Some(Event::Close(frame))) => end = End::Closed(frame.map(|frame| frame.code.get())),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    end = End::Failed(error.close_code().get());
                    break;
                }
            }
        }
    }
    Verdict { said, end }
}

/// A running instance of another implementation.
pub(crate) enum Foreign {
    Tungstenite,
    /// A program in the language of `peers/judge.py`.
    Program(Process),
}

impl Foreign {
    pub(crate) fn new(judge: Judge) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let peers = folder.join("peers");
        // The program, what has to be installed for it, and its arguments before the limit.
        let (program, needed, arguments) = match judge {
            Judge::Tungstenite => return Self::Tungstenite,
            Judge::Wsproto | Judge::Websockets => {
                let python = folder.join(".venv/bin/python");
                let name = if judge == Judge::Wsproto { "wsproto" } else { "websockets" };
                (python.clone(), python, vec![peers.join("judge.py"), name.into()])
            }
            Judge::Ws => ("node".into(), folder.join("node_modules/ws"), vec![peers.join("judge.mjs")]),
            Judge::Wslay => {
                let judge = folder.join(".native/judge");
                (judge.clone(), judge, vec![])
            }
        };
        assert!(needed.exists(), "{} is missing: run tests/setup.sh first", needed.display());
        Self::Program(Process::start(Command::new(program).args(arguments).arg(LIMIT.to_string())))
    }

    pub(crate) fn verdict(&mut self, case: &Case) -> Verdict {
        match self {
            Self::Tungstenite => tungstenite(case),
            Self::Program(process) => {
                let role = if case.role == Role::Server { "server" } else { "client" };
                let pieces = case.pieces.iter().map(|piece| hex(piece)).collect::<Vec<_>>();
                process.write_line(&format!("{role} {}", pieces.join(" ")));
                parsed(&process.line())
            }
        }
    }
}

/// A stream that never ends and accepts all output.
struct Recorded<'s>(&'s [u8]);

impl Read for Recorded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Recorded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tungstenite(case: &Case) -> Verdict {
    use tungstenite::{Error, Message};

    let stream = case.pieces.concat();
    let config = WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let role = if case.role == Role::Server { TheirRole::Server } else { TheirRole::Client };
    let mut ws = WebSocket::from_raw_socket(Recorded(&stream), role, Some(config));
    let mut said = Vec::new();
    let end = loop {
        match ws.read() {
            Ok(Message::Text(text)) => said.push(Said::Text(text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => said.push(Said::Binary(bytes.to_vec())),
            Ok(Message::Ping(payload)) => said.push(Said::Ping(payload.to_vec())),
            Ok(Message::Close(frame)) => break End::Closed(frame.map(|frame| frame.code.into())),
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break End::Open,
            Err(Error::Protocol(_)) => break End::Failed(1002),
            Err(Error::Utf8(_)) => break End::Failed(1007),
            Err(Error::Capacity(_)) => break End::Failed(1009),
            Err(error) => panic!("{error}"),
        }
    };
    Verdict { said, end }
}

/// Parses a verdict in the format of the programs in `peers`.
fn parsed(line: &str) -> Verdict {
    let mut words = line.split(' ');
    let mut next = || words.next().unwrap_or_else(|| panic!("{line}"));
    let (how, code) = (next(), next());
    let code = (code != "-").then(|| code.parse().expect("a code"));
    let end = match how {
        "open" => End::Open,
        "closed" => End::Closed(code),
        "failed" => End::Failed(code.expect("a code")),
        other => panic!("{other}"),
    };
    let mut said = Vec::new();
    while let Some(kind) = words.next() {
        let bytes = unhex(words.next().expect("bytes"));
        said.push(match kind {
            "text" => Said::Text(bytes),
            "binary" => Said::Binary(bytes),
            "ping" => Said::Ping(bytes),
            other => panic!("{other}"),
        });
    }
    Verdict { said, end }
}

/// Encodes bytes in hexadecimal after an x, so that empty bytes are a word too.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut word = String::from("x");
    for byte in bytes {
        write!(word, "{byte:02x}").expect("a String");
    }
    word
}

fn unhex(word: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit") as u8;
    word.as_bytes()[1..].chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
