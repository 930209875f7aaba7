#![forbid(unsafe_code)]
//! The parts of the market data clients that need no sockets: the numbered feed, and the arguments.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;
use ws_core::ReconnectPolicy;

/// The position of a client in a feed of numbered messages, over any number of connections.
#[derive(Debug, Default)]
pub struct Feed {
    last: u64,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

impl Feed {
    /// Returns the request to send first on each connection: the server continues after the last number that the client has
    /// received.
    #[must_use]
    pub fn resume(&self) -> String {
        json!({ "resume": self.last }).to_string()
    }

    /// Receives a message such as `{"seq": 7}`. Returns its number, or `None` if the message is no part of the feed or was received
    /// before.
    pub fn receive(&mut self, text: &str) -> Option<u64> {
        let Numbered { seq } = serde_json::from_str(text).ok()?;
        if seq <= self.last {
            return None;
        }
        self.last = seq;
        Some(seq)
    }
}

/// Returns the delays of the clients. They are short, because old prices are worth little.
#[must_use]
pub fn reconnect_policy() -> ReconnectPolicy {
    let mut policy = ReconnectPolicy::default();
    policy.first_delay = Duration::from_millis(200);
    policy.max_delay = Duration::from_secs(5);
    policy.stable_after = Duration::from_secs(2);
    policy
}

/// The arguments of a client: `URL [--ca FILE] [--proxy URL] [--resolve HOST=ADDR]`.
#[derive(Debug, Default)]
pub struct Options {
    /// The URL of the server.
    pub url: String,
    /// A file with the certificate authorities to trust.
    pub ca: Option<PathBuf>,
    /// The URL of a proxy.
    pub proxy: Option<String>,
    /// Names of hosts and their addresses. The port 0 stands for that of the URL.
    pub resolve: Vec<(String, SocketAddr)>,
}

impl Options {
    /// Parses the arguments of this process.
    ///
    /// # Errors
    ///
    /// Returns an error if an argument is unknown, invalid or missing.
    pub fn from_env() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let (mut options, mut url) = (Self::default(), None);
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("ca") => options.ca = Some(parser.value()?.into()),
                Long("proxy") => options.proxy = Some(parser.value()?.string()?),
                Long("resolve") => options.resolve.push(parser.value()?.parse_with(resolved)?),
                Value(value) if url.is_none() => url = Some(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        options.url = url.ok_or("a URL is missing, such as ws://127.0.0.1:9001/")?;
        Ok(options)
    }
}

/// Parses `HOST=ADDR`, where the address may have a port.
fn resolved(text: &str) -> Result<(String, SocketAddr), &'static str> {
    let (host, address) = text.split_once('=').ok_or("it has to be HOST=ADDR")?;
    let with_port = || address.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    let address = address.parse().or_else(|_| with_port()).map_err(|_| "ADDR is not an IP address")?;
    Ok((host.to_owned(), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_received_once() {
        let mut feed = Feed::default();
        assert_eq!(feed.resume(), r#"{"resume":0}"#);
        assert_eq!(feed.receive(r#"{"seq": 1}"#), Some(1));
        assert_eq!(feed.receive(r#"{"seq": 2, "price": 3.5}"#), Some(2));
        assert_eq!(feed.receive(r#"{"seq": 2}"#), None);
        assert_eq!(feed.receive("hello"), None);
        assert_eq!(feed.resume(), r#"{"resume":2}"#);
    }

    #[test]
    fn an_address_has_a_port_or_that_of_the_url() {
        for (text, expected) in [
            ("market.test=127.0.0.1", "127.0.0.1:0"),
            ("market.test=127.0.0.1:9001", "127.0.0.1:9001"),
            ("market.test=::1", "[::1]:0"),
            ("market.test=[::1]", "[::1]:0"),
            ("market.test=[::1]:9001", "[::1]:9001"),
        ] {
            assert_eq!(resolved(text), Ok(("market.test".into(), expected.parse().unwrap())), "{text}");
        }
        assert!(resolved("market.test").is_err() && resolved("market.test=there").is_err());
    }
}
