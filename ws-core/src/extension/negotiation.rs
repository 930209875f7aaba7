//! Which parameters of permessage-deflate two ends agree on (RFC 7692 section 7.1).

use alloc::{format, string::String};

use super::{
    deflate::{Compressor, Deflate},
    header::{self, Extension, Parameter},
    inflate::Inflater,
};
use crate::{Config, HandshakeError, Headers, Role};

const NAME: &str = "permessage-deflate";

/// What was agreed on, for the two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    server: Direction,
    client: Direction,
}

/// How the messages of one end are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) window_bits: u8,
    pub(super) context_takeover: bool,
}

impl Agreed {
    pub(crate) fn codecs(self, role: Role, config: &Config) -> (Compressor, Inflater) {
        let (own, other) = match role {
            Role::Server => (self.server, self.client),
            Role::Client => (self.client, self.server),
        };
        let settings = config.deflate.clone().unwrap_or_default();
        (Compressor::new(own, settings.clone()), Inflater::new(other, settings))
    }
}

/// The parameters of one offer or response.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// In an offer it may stand without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// `None` for an unknown, repeated or malformed parameter.
    fn parse(extension: &Extension<'_>) -> Option<Self> {
        let mut parameters = Self::default();
        for Parameter { name, value } in &extension.parameters {
            let bits = value.as_deref().map(window_bits);
            let set_before = match (&*name.to_ascii_lowercase(), bits) {
                ("server_no_context_takeover", None) => {
                    core::mem::replace(&mut parameters.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    core::mem::replace(&mut parameters.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(bits)) => {
                    parameters.server_max_window_bits.replace(bits?).is_some()
                }
                ("client_max_window_bits", None) => parameters.client_max_window_bits.replace(None).is_some(),
                ("client_max_window_bits", Some(bits)) => {
                    parameters.client_max_window_bits.replace(Some(bits?)).is_some()
                }
                _ => return None,
            };
            if set_before {
                return None;
            }
        }
        Some(parameters)
    }
}

/// RFC 7692 7.1.2: "a decimal integer value without leading zeroes between 8 to 15 inclusive".
fn window_bits(text: &str) -> Option<u8> {
    (8..=15).find(|bits| format!("{bits}") == text)
}

fn is_deflate(extension: &Extension<'_>) -> bool {
    extension.name.eq_ignore_ascii_case(NAME)
}

/// A server's choice among the offers, and the header that tells it: the first that it can live with.
pub(crate) fn accept(headers: &Headers, config: &Config) -> Result<Option<(Agreed, String)>, HandshakeError> {
    let extensions = header::parse(headers)?;
    let Some(settings) = &config.deflate else { return Ok(None) };
    let mut offers =
        extensions.iter().filter(|extension| is_deflate(extension)).filter_map(Parameters::parse);
    Ok(offers.find_map(|offer| accept_offer(&offer, settings)))
}

fn accept_offer(offer: &Parameters, settings: &Deflate) -> Option<(Agreed, String)> {
    let mut response = String::from(NAME);
    let server = Direction {
        window_bits: settings
            .server_max_window_bits
            .clamp(9, 15)
            .min(offer.server_max_window_bits.unwrap_or(15)),
        context_takeover: settings.server_context_takeover && !offer.server_no_context_takeover,
    };
    // A window of 256 bytes is beyond the codec.
    if server.window_bits < 9 {
        return None;
    }
    let client = Direction {
        // A client that does not say that it can restrict itself cannot be asked to.
        window_bits: match offer.client_max_window_bits {
            None => 15,
            Some(most) => settings.client_max_window_bits.clamp(8, 15).min(most.unwrap_or(15)),
        },
        context_takeover: settings.client_context_takeover && !offer.client_no_context_takeover,
    };
    if !server.context_takeover {
        response.push_str("; server_no_context_takeover");
    }
    if !client.context_takeover {
        response.push_str("; client_no_context_takeover");
    }
    if offer.server_max_window_bits.is_some() || server.window_bits < 15 {
        response.push_str(&format!("; server_max_window_bits={}", server.window_bits));
    }
    if client.window_bits < 15 {
        response.push_str(&format!("; client_max_window_bits={}", client.window_bits));
    }
    Some((Agreed { server, client }, response))
}

/// What a client offers.
pub(crate) fn offer(config: &Config) -> Option<String> {
    let settings = config.deflate.as_ref()?;
    let mut offer = String::from(NAME);
    if !settings.server_context_takeover {
        offer.push_str("; server_no_context_takeover");
    }
    if !settings.client_context_takeover {
        offer.push_str("; client_no_context_takeover");
    }
    if settings.server_max_window_bits < 15 {
        offer.push_str(&format!("; server_max_window_bits={}", settings.server_max_window_bits.clamp(8, 15)));
    }
    offer.push_str("; client_max_window_bits");
    if settings.client_max_window_bits < 15 {
        offer.push_str(&format!("={}", settings.client_max_window_bits.clamp(8, 15)));
    }
    Some(offer)
}

/// Holds a server's response against the offer.
pub(crate) fn confirm(headers: &Headers, config: &Config) -> Result<Option<Agreed>, HandshakeError> {
    let extensions = header::parse(headers)?;
    let (Some(settings), [chosen]) = (&config.deflate, &extensions[..]) else {
        return if extensions.is_empty() { Ok(None) } else { Err(HandshakeError::UnofferedExtension) };
    };
    if !is_deflate(chosen) {
        return Err(HandshakeError::UnofferedExtension);
    }
    let invalid = HandshakeError::InvalidHeader("Sec-WebSocket-Extensions");
    let Some(response) = Parameters::parse(chosen) else { return Err(invalid) };
    let server_bits = response.server_max_window_bits.unwrap_or(15);
    let client_bits = match response.client_max_window_bits {
        None => 15,
        Some(Some(bits)) => bits,
        Some(None) => return Err(invalid),
    };
    // RFC 7692 7.1.1.1 and 7.1.2.1: a server accepts these by repeating them, the window as it is or smaller.
    if (!settings.server_context_takeover && !response.server_no_context_takeover)
        || server_bits > settings.server_max_window_bits.clamp(8, 15)
    {
        return Err(invalid);
    }
    Ok(Some(Agreed {
        server: Direction {
            window_bits: server_bits,
            context_takeover: !response.server_no_context_takeover,
        },
        client: Direction {
            window_bits: client_bits.min(settings.client_max_window_bits.clamp(8, 15)),
            context_takeover: settings.client_context_takeover && !response.client_no_context_takeover,
        },
    }))
}
