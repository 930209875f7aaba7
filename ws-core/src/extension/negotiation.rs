//! Negotiation of the permessage-deflate parameters (RFC 7692 section 7.1).

use alloc::{boxed::Box, format, string::String};

use super::{
    deflate::{Compressor, Deflate},
    header::{self, Extension, Parameter},
    inflate::Inflater,
};
use crate::{Config, HandshakeError, Headers, Role};

const NAME: &str = "permessage-deflate";

/// The agreed parameters for the two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    server: Direction,
    client: Direction,
}

/// Compression parameters for the messages of one end.
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
struct DeflateParameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// In an offer, this parameter may have no value.
    client_max_window_bits: Option<Option<u8>>,
}

impl DeflateParameters {
    /// # Errors
    ///
    /// Returns the name and the problem of a parameter that is unknown, repeated or malformed.
    fn parse<'h>(extension: &Extension<'h>) -> Result<Self, (&'h str, &'static str)> {
        let mut parameters = Self::default();
        for Parameter { name, value } in &extension.parameters {
            let bits =
                value.as_deref().map(|value| window_bits(value).ok_or((*name, "has an invalid value")));
            let is_repeated = match (&*name.to_ascii_lowercase(), bits) {
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
                ("server_max_window_bits", None) => return Err((name, "has no value")),
                ("server_no_context_takeover" | "client_no_context_takeover", Some(_)) => {
                    return Err((name, "has a value"));
                }
                _ => return Err((name, "is unknown")),
            };
            if is_repeated {
                return Err((name, "is repeated"));
            }
        }
        Ok(parameters)
    }
}

/// RFC 7692 7.1.2: "a decimal integer value without leading zeroes between 8 to 15 inclusive".
fn window_bits(text: &str) -> Option<u8> {
    (8..=15).find(|bits| format!("{bits}") == text)
}

fn is_deflate(extension: &Extension<'_>) -> bool {
    extension.name.eq_ignore_ascii_case(NAME)
}

/// Returns the server's choice among the offers, and the header for it. The server chooses the first offer that it
/// can accept.
pub(crate) fn accept(headers: &Headers, config: &Config) -> Result<Option<(Agreed, String)>, HandshakeError> {
    let extensions = header::parse(headers)?;
    let Some(settings) = &config.deflate else { return Ok(None) };
    let mut offers = extensions
        .iter()
        .filter(|extension| is_deflate(extension))
        .filter_map(|offer| DeflateParameters::parse(offer).ok());
    Ok(offers.find_map(|offer| accept_offer(&offer, settings)))
}

fn accept_offer(offer: &DeflateParameters, settings: &Deflate) -> Option<(Agreed, String)> {
    let mut response = String::from(NAME);
    let server = Direction {
        window_bits: settings
            .server_max_window_bits
            .clamp(9, 15)
            .min(offer.server_max_window_bits.unwrap_or(15)),
        context_takeover: settings.server_context_takeover && !offer.server_no_context_takeover,
    };
    // The codec does not support a window of 256 bytes.
    if server.window_bits < 9 {
        return None;
    }
    let client = Direction {
        // The server cannot ask for a smaller window unless the client offers to restrict its own.
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

/// Returns the offers of a client, the preferred one first. Some servers answer every offer without parameters. So a
/// server without context is preferred but not required: only the first offer has the parameter.
pub(crate) fn offer(config: &Config) -> Option<String> {
    let settings = config.deflate.as_ref()?;
    if settings.server_context_takeover {
        return Some(one_offer(settings, ""));
    }
    Some(format!("{}, {}", one_offer(settings, "; server_no_context_takeover"), one_offer(settings, "")))
}

fn one_offer(settings: &Deflate, wish: &str) -> String {
    let mut offer = format!("{NAME}{wish}");
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
    offer
}

/// Checks a server's response against the offer.
pub(crate) fn confirm(headers: &Headers, config: &Config) -> Result<Option<Agreed>, HandshakeError> {
    let extensions = header::parse(headers)?;
    let (Some(settings), [chosen]) = (&config.deflate, &extensions[..]) else {
        return if extensions.is_empty() { Ok(None) } else { Err(HandshakeError::UnofferedExtension) };
    };
    if !is_deflate(chosen) {
        return Err(HandshakeError::UnofferedExtension);
    }
    let invalid = |(parameter, problem)| HandshakeError::ExtensionParameter {
        value: header::shown(headers),
        parameter: Box::from(parameter),
        problem,
    };
    let response = DeflateParameters::parse(chosen).map_err(invalid)?;
    let server_bits = response.server_max_window_bits.unwrap_or(15);
    let client_bits = match response.client_max_window_bits {
        None => 15,
        Some(Some(bits)) => bits,
        Some(None) => return Err(invalid(("client_max_window_bits", "has no value"))),
    };
    // RFC 7692 7.1.2.1: a server accepts this parameter by repeating it with the same or a smaller value.
    if server_bits > settings.server_max_window_bits.clamp(8, 15) {
        let problem = match response.server_max_window_bits {
            None => "was demanded and is missing",
            Some(_) => "is larger than was demanded",
        };
        return Err(invalid(("server_max_window_bits", problem)));
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
