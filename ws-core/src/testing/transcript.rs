use std::{collections::VecDeque, fmt, thread};

use super::wire::{self, HeaderParts};
use crate::{Role, Timestamp, excerpt::Excerpt};

/// The record of a conversation: one line for each frame, with its time, its direction and a summary. It is printed to
/// stderr when a test fails, that is, when a [`Pair`](super::Pair) or [`Peer`](super::Peer) is dropped by a panic. Test
/// runners show it with the failure.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use ws_core::{CloseCode, Config, Role, testing::Pair};
///
/// let mut pair = Pair::open(Arc::new(Config::default()));
/// pair.link(Role::Client).delay(Duration::from_millis(30));
/// pair.client().send("Hello").unwrap();
/// pair.run_until_idle();
/// pair.server().close(CloseCode::NORMAL_CLOSURE, "bye").unwrap();
/// pair.run_until_idle();
/// assert_eq!(pair.transcript().to_string(), "\
///     0.000000 s  client -> server  text \"Hello\"\n\
///     0.030000 s  server -> client  close 1000 \"bye\"\n\
///     0.030000 s  client -> server  close 1000\n\
///     0.060000 s  server            ends its stream\n\
///     0.060000 s  client            ends its stream\n");
/// ```
#[derive(Default)]
pub struct Transcript {
    lines: VecDeque<Line>,
    /// Number of lines that were dropped.
    dropped: usize,
    client: Unfinished,
    server: Unfinished,
}

struct Line {
    at: Timestamp,
    from: Role,
    /// `true` if the line describes bytes for the other end.
    is_sent: bool,
    text: String,
}

/// A frame of which not all bytes were written.
#[derive(Default)]
struct Unfinished {
    /// The header and the beginning of the payload.
    beginning: Vec<u8>,
    /// Number of bytes of the payload that are not kept and not written yet.
    left: u64,
}

impl Transcript {
    /// Maximum number of lines. Older lines are dropped.
    const MAX_LINES: usize = 1000;
    /// Number of lines that a failed test prints.
    const PRINTED: usize = 60;
    /// Number of bytes of a payload that are kept for the summary.
    const PREVIEW: u64 = 125;

    pub(super) const fn new() -> Self {
        let unfinished = Unfinished { beginning: Vec::new(), left: 0 };
        let other = Unfinished { beginning: Vec::new(), left: 0 };
        Self { lines: VecDeque::new(), dropped: 0, client: unfinished, server: other }
    }

    /// Adds bytes of a stream of frames.
    pub(super) fn add_frames(&mut self, at: Timestamp, from: Role, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let unfinished = match from {
                Role::Client => &mut self.client,
                Role::Server => &mut self.server,
            };
            if let Some(text) = unfinished.add(&mut bytes) {
                self.push(at, from, true, text);
            }
        }
    }

    /// Adds the head of a request or response.
    pub(super) fn add_head(&mut self, at: Timestamp, from: Role, head: &[u8]) {
        let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first = first.strip_suffix(b"\r").unwrap_or(first);
        self.push(at, from, true, format!("head {:?}, {} bytes", Excerpt(first), head.len()));
    }

    /// Adds a note about one end.
    pub(super) fn note(&mut self, at: Timestamp, from: Role, text: impl Into<String>) {
        self.push(at, from, false, text.into());
    }

    fn push(&mut self, at: Timestamp, from: Role, is_sent: bool, text: String) {
        if self.lines.len() == Self::MAX_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(Line { at, from, is_sent, text });
    }

    fn write_last(&self, f: &mut fmt::Formatter<'_>, most: usize) -> fmt::Result {
        let skipped = self.lines.len().saturating_sub(most);
        if self.dropped + skipped > 0 {
            writeln!(f, ".. {} earlier lines", self.dropped + skipped)?;
        }
        self.lines.iter().skip(skipped).try_for_each(|line| writeln!(f, "{line}"))?;
        for (from, unfinished) in [(Role::Client, &self.client), (Role::Server, &self.server)] {
            if !unfinished.beginning.is_empty() {
                let kept = unfinished.beginning.len();
                writeln!(f, "{:12}{}  an unfinished frame, {kept} bytes or more", "", direction(from, true))?;
            }
        }
        Ok(())
    }
}

impl Unfinished {
    /// Takes bytes off the input, up to the end of the frame. Returns the summary of the frame if it is complete.
    fn add(&mut self, bytes: &mut &[u8]) -> Option<String> {
        let mut end_of_preview = None;
        while self.left == 0 {
            let parts = wire::split_header(&self.beginning);
            if let Some((header, payload)) = &parts {
                let kept = header.len.min(Transcript::PREVIEW);
                if payload.len() as u64 == kept {
                    self.left = header.len - kept;
                    end_of_preview = Some(());
                    break;
                }
            }
            let (&first, rest) = bytes.split_first()?;
            self.beginning.push(first);
            *bytes = rest;
        }
        if end_of_preview.is_none() || self.left > 0 {
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            *bytes = &bytes[skipped..];
            self.left -= skipped as u64;
            if self.left > 0 {
                return None;
            }
        }
        let (header, payload) = wire::split_header(&self.beginning)?;
        let text = summary(&header, &wire::mask(payload, header.key));
        self.beginning.clear();
        Some(text)
    }
}

/// Returns a description of a frame from its header and the beginning of its payload.
fn summary(header: &HeaderParts, payload: &[u8]) -> String {
    let mut text = match header.opcode {
        wire::CONTINUATION => "continuation".to_owned(),
        wire::TEXT => "text".to_owned(),
        wire::BINARY => "binary".to_owned(),
        wire::CLOSE => "close".to_owned(),
        wire::PING => "ping".to_owned(),
        wire::PONG => "pong".to_owned(),
        opcode => format!("opcode {opcode:#x}"),
    };
    if !header.fin {
        text += ", unfinished";
    }
    if header.rsv != 0 {
        text += &format!(", rsv {:03b}", header.rsv);
    }
    match payload {
        [] => {}
        [high, low, reason @ ..] if header.opcode == wire::CLOSE => {
            text += &format!(" {}", u16::from_be_bytes([*high, *low]));
            if !reason.is_empty() {
                text += &format!(" {:?}", Excerpt(reason));
            }
        }
        payload => text += &format!(" {:?}", Excerpt(payload)),
    }
    if header.len > payload.len() as u64 {
        text += &format!(", {} bytes in all", header.len);
    }
    text
}

const fn direction(from: Role, is_sent: bool) -> &'static str {
    match (from, is_sent) {
        (Role::Client, true) => "client -> server",
        (Role::Server, true) => "server -> client",
        (Role::Client, false) => "client          ",
        (Role::Server, false) => "server          ",
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = core::time::Duration::from(self.at);
        let (seconds, micros) = (at.as_secs(), at.subsec_micros());
        write!(f, "{seconds}.{micros:06} s  {}  {}", direction(self.from, self.is_sent), self.text)
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_last(f, usize::MAX)
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcript({} lines)", self.lines.len() + self.dropped)
    }
}

/// The last lines of a transcript.
struct LastLines<'t>(&'t Transcript);

impl fmt::Display for LastLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_last(f, Transcript::PRINTED)
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        if thread::panicking() && !self.lines.is_empty() {
            eprintln!("conversation until the failure:\n{}", LastLines(self));
        }
    }
}
