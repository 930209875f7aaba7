//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).

use alloc::{string::String, vec::Vec};

use crate::{HandshakeError, Headers};

const NAME: &str = "Sec-WebSocket-Extensions";

/// One extension that is offered or chosen.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension {
    pub(super) name: String,
    /// Names in lower case, and values where there are any, without quotation marks.
    pub(super) parameters: Vec<(String, Option<String>)>,
}

/// All extensions in all headers of the name, in order.
pub(super) fn parse(headers: &Headers) -> Result<Vec<Extension>, HandshakeError> {
    let mut extensions = Vec::new();
    let mut seen = 0;
    for value in headers.get_all(NAME) {
        seen = usize::saturating_add(seen, 1);
        let mut rest = Cursor { rest: value };
        loop {
            extensions.push(rest.extension().ok_or(HandshakeError::InvalidHeader(NAME))?);
            if rest.rest.is_empty() {
                break;
            }
            if !rest.skip(',') {
                return Err(HandshakeError::InvalidHeader(NAME));
            }
        }
    }
    if seen != headers.count(NAME) {
        // One is not even text.
        return Err(HandshakeError::InvalidHeader(NAME));
    }
    Ok(extensions)
}

struct Cursor<'h> {
    rest: &'h str,
}

impl<'h> Cursor<'h> {
    /// `extension = extension-token *( ";" extension-param )`
    fn extension(&mut self) -> Option<Extension> {
        let name = self.token()?.to_ascii_lowercase();
        let mut parameters = Vec::new();
        while self.skip(';') {
            let name = self.token()?.to_ascii_lowercase();
            let value = if self.skip('=') { Some(self.value()?) } else { None };
            parameters.push((name, value));
        }
        Some(Extension { name, parameters })
    }

    /// `token | quoted-string`; "the value after quoted-string unescaping MUST conform to the 'token' ABNF".
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return self.token().map(String::from) };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = quoted.get(at.saturating_add(1)..)?.trim_start_matches([' ', '\t']);
                    return value
                        .bytes()
                        .all(is_token_byte)
                        .then_some(value)
                        .filter(|value| !value.is_empty());
                }
                '\\' => value.push(characters.next()?.1),
                _ => value.push(character),
            }
        }
        None
    }

    /// The next token; white space around it is skipped.
    fn token(&mut self) -> Option<&'h str> {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let len = self.rest.bytes().position(|byte| !is_token_byte(byte)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest.trim_start_matches([' ', '\t']);
        (!token.is_empty()).then_some(token)
    }

    fn skip(&mut self, separator: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(separator) else { return false };
        self.rest = rest.trim_start_matches([' ', '\t']);
        true
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use alloc::{borrow::ToOwned, vec};

    use super::*;

    fn parsed(values: &[&str]) -> Option<Vec<Extension>> {
        let mut headers = Headers::default();
        for value in values {
            assert!(headers.push(NAME, value));
        }
        parse(&headers).ok()
    }

    fn extension(name: &str, parameters: &[(&str, Option<&str>)]) -> Extension {
        let owned = |&(name, value): &(&str, Option<&str>)| (name.to_owned(), value.map(str::to_owned));
        Extension { name: name.to_owned(), parameters: parameters.iter().map(owned).collect() }
    }

    #[test]
    fn lists_of_extensions_are_taken_apart() {
        assert_eq!(parsed(&[]), Some(vec![]));
        assert_eq!(
            parsed(&["foo, Bar; Baz=2 ;qux = \"1\\0\"", "foo;x"]),
            Some(vec![
                extension("foo", &[]),
                extension("bar", &[("baz", Some("2")), ("qux", Some("10"))]),
                extension("foo", &[("x", None)]),
            ])
        );
    }

    #[test]
    fn what_is_no_list_of_extensions_is_refused() {
        for value in [
            "",
            ",",
            "a,",
            ",a",
            "a,,b",
            "a;",
            "a;;b",
            "a b",
            "a;b=",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"x y\"",
            "a=b",
            "ü",
        ] {
            assert_eq!(parsed(&[value]), None, "{value:?}");
        }
    }
}
