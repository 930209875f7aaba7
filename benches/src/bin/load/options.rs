//! Command-line options.

use crate::{open::Target, wire::Kind};

pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) pid: u32,
    pub(crate) target: Target,
    pub(crate) connections: usize,
    pub(crate) payload: usize,
    pub(crate) kind: Kind,
    pub(crate) depth: usize,
    pub(crate) seconds: f64,
    pub(crate) json: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Echo,
    Broadcast,
    Handshake,
    Idle,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let (mut pid, mut target) = (None, None);
        let (mut mode, mut kind) = (Mode::Echo, Kind::Binary);
        let (mut connections, mut payload, mut depth, mut seconds) = (100, 20, 1, 3.0);
        let mut json = false;
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("mode") => mode = parser.value()?.parse_with(Mode::parse)?,
                Long("pid") => pid = Some(parser.value()?.parse()?),
                Long("url") => target = Some(parser.value()?.parse_with(Target::parse)?),
                Long("connections") => connections = parser.value()?.parse()?,
                Long("payload") => payload = parser.value()?.parse()?,
                Long("text") => kind = parser.value()?.parse_with(Kind::parse_text)?,
                Long("depth") => depth = parser.value()?.parse()?,
                Long("seconds") => seconds = parser.value()?.parse()?,
                Long("json") => json = true,
                other => return Err(other.unexpected()),
            }
        }
        let pid = pid.ok_or("--pid is missing")?;
        let target = target.ok_or("--url is missing")?;
        if connections == 0 || depth == 0 {
            return Err("--connections and --depth are at least 1".into());
        }
        if !(0.01..=3600.0).contains(&seconds) {
            return Err("--seconds is between 0.01 and 3600".into());
        }
        Ok(Self { mode, pid, target, connections, payload, kind, depth, seconds, json })
    }
}

impl Mode {
    fn parse(name: &str) -> Result<Self, &'static str> {
        match name {
            "echo" => Ok(Self::Echo),
            "broadcast" => Ok(Self::Broadcast),
            "handshake" => Ok(Self::Handshake),
            "idle" => Ok(Self::Idle),
            _ => Err("a mode is echo, broadcast, handshake or idle"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Broadcast => "broadcast",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
        }
    }

    /// Returns the name of the counted unit.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Echo => "message",
            Self::Broadcast => "delivery",
            Self::Handshake => "opening",
            Self::Idle => "connection",
        }
    }
}
