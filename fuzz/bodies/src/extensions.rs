use std::sync::Arc;

use ws_core::{
    Config, Connection, Event, HandshakeConfig, HandshakeError, Message, OriginPolicy, Timestamp, client,
    server,
    testing::{self, Head, Pair, SEED},
};

use crate::{
    head::is_token,
    settings::{compressing, split_first},
};

/// Checks lists of extensions, offered and chosen. Malformed lists are refused. A server chooses among the offers,
/// and a client accepts only its own offers. Two ends that agree understand each other.
pub fn extensions(data: &[u8]) {
    let (byte, rest) = split_first(data);
    let (more, value) = split_first(rest);
    let value: Vec<u8> = value
        .iter()
        .map(|byte| if *byte < b' ' || *byte == 0x7F { b';' } else { *byte })
        .take(2000)
        .collect();
    let config = config(byte, more);
    offered(&config, &value);
    chosen(&config, &value);
    agreed(&config, &self::config(more, byte));
}

fn config(byte: u8, more: u8) -> Arc<Config> {
    compressing(Config::default(), |deflate| {
        deflate.server_max_window_bits = 9 + byte % 7;
        deflate.client_max_window_bits = 9 + more % 7;
        deflate.server_context_takeover = byte & 128 != 0;
        deflate.client_context_takeover = more & 128 != 0;
    })
}

/// One extension by the grammar of RFC 6455 section 9.1.
struct Extension {
    name: String,
    parameters: Vec<(String, Option<String>)>,
}

impl Extension {
    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.0 == name)
    }

    /// Returns the window size of this parameter: `None` if it is invalid, `Some(None)` if it is absent.
    fn bits(&self, name: &str) -> Option<Option<u8>> {
        match self.parameters.iter().find(|parameter| parameter.0 == name) {
            None => Some(None),
            Some((_, value)) => {
                let bits = value.as_ref()?.parse().ok()?;
                (8..=15).contains(&bits).then_some(Some(bits))
            }
        }
    }
}

/// Parses a list of extensions by splitting it at commas and semicolons outside of quotation marks.
fn parse(value: &[u8]) -> Option<Vec<Extension>> {
    let value = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let (empty, items): (Vec<_>, Vec<_>) =
        split(value, ',')?.into_iter().partition(|item| item.trim_matches([' ', '\t']).is_empty());
    // RFC 9110 5.6.1.2: a recipient ignores a reasonable number of empty elements.
    if empty.len() > 16 {
        return None;
    }
    items.into_iter().map(extension).collect()
}

fn extension(item: &str) -> Option<Extension> {
    let parts = split(item, ';')?;
    let (name, parameters) = parts.split_first()?;
    let parameters: Option<Vec<_>> = parameters.iter().map(|parameter| self::parameter(parameter)).collect();
    Some(Extension { name: token(name)?, parameters: parameters? })
}

fn parameter(text: &str) -> Option<(String, Option<String>)> {
    let Some((name, value)) = text.split_once('=') else { return Some((token(text)?, None)) };
    let value = value.trim_matches([' ', '\t']);
    let value = match value.strip_prefix('"') {
        None => value.to_owned(),
        Some(quoted) => {
            let mut escaped = false;
            let mut plain = String::new();
            for character in quoted.strip_suffix('"')?.chars() {
                escaped = character == '\\' && !escaped;
                if !escaped {
                    plain.push(character);
                }
            }
            plain
        }
    };
    is_token(value.as_bytes()).then(|| token(name).map(|name| (name, Some(value))))?
}

fn token(text: &str) -> Option<String> {
    let text = text.trim_matches([' ', '\t']);
    is_token(text.as_bytes()).then(|| text.to_ascii_lowercase())
}

/// Returns the parts between unquoted separators, or `None` if a quotation has no end.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if quoted && character == '\\' {
            escaped = true;
        } else if character == '"' {
            quoted = !quoted;
        } else if character == separator && !quoted {
            parts.push(&text[start..at]);
            start = at + separator.len_utf8();
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

/// Checks an offer of a client.
fn offered(config: &Arc<Config>, value: &[u8]) {
    let mut bytes = Head::request().with([b"Sec-WebSocket-Extensions: ", value].concat()).bytes();
    let mut handshake = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let request = handshake.receive(&mut &mut bytes[..]).expect("a legal head").expect("a whole head");
    let upgrade = request.upgrade(&OriginPolicy::default()).expect("an upgrade");
    let result = upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO);
    let offers = parse(value);
    let Ok(mut connection) = result else {
        assert!(offers.is_none(), "a list that is legal");
        return;
    };
    let offers = offers.expect("a list that is not legal was taken");
    let head = String::from_utf8(testing::written(&mut connection)).expect("text");
    let answer = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    assert_eq!(answer.is_some(), connection.is_compression_negotiated());
    let Some(answer) = answer else { return };
    let answer = parse(answer.as_bytes()).expect("a legal answer");
    assert!(answer.len() == 1 && offers.iter().any(|offer| fits(&answer[0], offer)), "{head}");
}

/// Returns `true` if RFC 7692 7.1 permits this answer to the offer.
fn fits(answer: &Extension, offer: &Extension) -> bool {
    let (Some(server_bits), Some(client_bits)) =
        (answer.bits("server_max_window_bits"), answer.bits("client_max_window_bits"))
    else {
        return false;
    };
    let Some(offered) = offer.bits("server_max_window_bits") else { return false };
    let client_most = offer.bits("client_max_window_bits").flatten().unwrap_or(15);
    offer.name == "permessage-deflate"
        && answer.name == offer.name
        && offered.is_none_or(|most| server_bits.is_some_and(|bits| bits <= most))
        && client_bits.is_none_or(|bits| offer.has("client_max_window_bits") && bits <= client_most)
        && (!offer.has("server_no_context_takeover") || answer.has("server_no_context_takeover"))
}

/// Checks an answer of a server.
fn chosen(config: &Arc<Config>, value: &[u8]) {
    let request = client::Request::new("ws://host/".parse().expect("a URL"));
    let mut handshake =
        client::Handshake::new(&request, &HandshakeConfig::default(), config.clone(), SEED, Timestamp::ZERO)
            .expect("legal");
    let asked = testing::drained(&mut handshake.transmit());
    let head = Head::response_to(&asked).with([b"Sec-WebSocket-Extensions: ", value].concat());
    let parsed = parse(value);
    match handshake.receive(&mut &mut head.bytes()[..]) {
        Ok(opened) => {
            let (connection, _) = opened.expect("a whole head");
            if parsed.as_ref().is_some_and(Vec::is_empty) {
                assert!(!connection.is_compression_negotiated(), "nothing was chosen");
                return;
            }
            let [chosen] = &parsed.expect("a legal list")[..] else { panic!("more than one extension") };
            assert!(connection.is_compression_negotiated() && chosen.name == "permessage-deflate");
            for (name, _) in &chosen.parameters {
                assert!(
                    matches!(
                        &name[..],
                        "server_no_context_takeover"
                            | "client_no_context_takeover"
                            | "server_max_window_bits"
                            | "client_max_window_bits"
                    ),
                    "{name}"
                );
            }
            assert!(chosen.bits("server_max_window_bits").is_some());
            assert!(chosen.bits("client_max_window_bits").is_some());
        }
        Err(HandshakeError::InvalidHeader(_) | HandshakeError::UnofferedExtension) => {}
        Err(HandshakeError::ExtensionParameter { value, parameter, .. }) => {
            assert!(!value.is_empty() && !parameter.is_empty());
        }
        Err(error) => panic!("{error}"),
    }
}

/// Checks that any two configurations agree, and that each end reads the messages of the other.
fn agreed(client: &Arc<Config>, server: &Arc<Config>) {
    let mut pair: Pair = crate::settings::handshake(client.clone(), server.clone());
    for text in ["the same again and again", "the same again and again", ""] {
        talk(pair.client(), text);
        talk(pair.server(), text);
        let mut received = 0;
        while let Some((_, event)) = pair.next_event() {
            assert_eq!(event, Event::Message(Message::from(text)));
            received += 1;
        }
        assert_eq!(received, 2);
    }
}

fn talk(connection: &mut Connection, text: &str) {
    assert!(connection.is_compression_negotiated());
    connection.send(text).expect("room for a message");
}
