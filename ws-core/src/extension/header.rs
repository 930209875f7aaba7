//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).

#[cfg(feature = "deflate")]
use alloc::boxed::Box;
use alloc::{borrow::Cow, string::String, vec::Vec};

use crate::{
    HandshakeError, Headers,
    handshake::{MAX_EMPTY_ELEMENTS, is_token, is_token_byte},
};

const NAME: &str = "Sec-WebSocket-Extensions";

/// One extension that is offered or chosen. Names are case-insensitive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extension<'h> {
    pub(super) name: &'h str,
    pub(super) parameters: Vec<Parameter<'h>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parameter<'h> {
    pub(super) name: &'h str,
    /// Value without quotation marks.
    pub(super) value: Option<Cow<'h, str>>,
}

/// Returns all extensions in all headers of the name, in order.
pub(super) fn parse(headers: &Headers) -> Result<Vec<Extension<'_>>, HandshakeError> {
    let mut extensions = Vec::new();
    let mut seen = 0;
    let mut empty = 0;
    for value in headers.get_all(NAME) {
        seen = usize::saturating_add(seen, 1);
        let mut rest = Cursor { rest: value };
        loop {
            if rest.is_at_empty_element() {
                empty = usize::saturating_add(empty, 1);
            } else {
                extensions.push(rest.extension().ok_or(HandshakeError::InvalidHeader(NAME))?);
            }
            if rest.rest.is_empty() {
                break;
            }
            if !rest.skip(',') {
                return Err(HandshakeError::InvalidHeader(NAME));
            }
        }
    }
    // `get_all` omits fields that are not text.
    if seen != headers.count(NAME) || empty > MAX_EMPTY_ELEMENTS {
        return Err(HandshakeError::InvalidHeader(NAME));
    }
    Ok(extensions)
}

/// Returns the list as it was sent, for an error. A long list is cut.
#[cfg(feature = "deflate")]
pub(super) fn shown(headers: &Headers) -> Box<str> {
    const MAX_CHARS: usize = 200;
    let values: Vec<_> = headers.get_all(NAME).collect();
    values.join(", ").chars().take(MAX_CHARS).collect::<String>().into_boxed_str()
}

struct Cursor<'h> {
    rest: &'h str,
}

impl<'h> Cursor<'h> {
    /// Returns `true` if the element before the next comma or the end is empty.
    fn is_at_empty_element(&mut self) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        self.rest.is_empty() || self.rest.starts_with(',')
    }

    /// Parses `extension = extension-token *( ";" extension-param )`.
    fn extension(&mut self) -> Option<Extension<'h>> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.skip(';') {
            let name = self.token()?;
            let value = if self.skip('=') { Some(self.value()?) } else { None };
            parameters.push(Parameter { name, value });
        }
        Some(Extension { name, parameters })
    }

    /// Parses `token | quoted-string`. RFC 6455: "the value after quoted-string unescaping MUST conform to the
    /// 'token' ABNF".
    fn value(&mut self) -> Option<Cow<'h, str>> {
        let Some(quoted) = self.rest.strip_prefix('"') else { return self.token().map(Cow::Borrowed) };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = quoted.get(at.saturating_add(1)..)?.trim_start_matches([' ', '\t']);
                    return is_token(&value).then_some(Cow::Owned(value));
                }
                '\\' => value.push(characters.next()?.1),
                _ => value.push(character),
            }
        }
        None
    }

    /// Returns the next token, and skips white space around it.
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

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn headers(values: &[&str]) -> Headers {
        let mut headers = Headers::default();
        for value in values {
            assert!(headers.push(NAME, value));
        }
        headers
    }

    fn extension<'h>(name: &'h str, parameters: &[(&'h str, Option<&'h str>)]) -> Extension<'h> {
        let parameters =
            parameters.iter().map(|&(name, value)| Parameter { name, value: value.map(Cow::from) });
        Extension { name, parameters: parameters.collect() }
    }

    #[test]
    fn lists_of_extensions_are_taken_apart() {
        assert_eq!(parse(&headers(&[])), Ok(vec![]));
        assert_eq!(
            parse(&headers(&["foo, Bar; Baz=2 ;qux = \"1\\0\"", "foo;x"])),
            Ok(vec![
                extension("foo", &[]),
                extension("Bar", &[("Baz", Some("2")), ("qux", Some("10"))]),
                extension("foo", &[("x", None)]),
            ])
        );
    }

    #[test]
    fn empty_elements_of_a_list_are_ignored() {
        // RFC 9110 5.6.1.2: "a recipient MUST parse and ignore a reasonable number of empty list elements".
        for value in ["", ",", " , ,\t,", &",".repeat(MAX_EMPTY_ELEMENTS - 1)] {
            assert_eq!(parse(&headers(&[value])), Ok(vec![]), "{value:?}");
        }
        for value in ["a,", ",a", ", ,a ,\t,"] {
            assert_eq!(parse(&headers(&[value])), Ok(vec![extension("a", &[])]), "{value:?}");
        }
        let two = Ok(vec![extension("a", &[]), extension("b", &[("c", None)])]);
        assert_eq!(parse(&headers(&["a,,b;c"])), two);
        assert_eq!(parse(&headers(&["", "a", ",", "b;c,"])), two);
    }

    #[test]
    fn more_than_sixteen_empty_elements_are_refused() {
        let refused = Err(HandshakeError::InvalidHeader(NAME));
        assert_eq!(parse(&headers(&[&",".repeat(MAX_EMPTY_ELEMENTS)])), refused);
        assert_eq!(parse(&headers(&[""; MAX_EMPTY_ELEMENTS + 1])), refused);
        assert_eq!(parse(&headers(&[&format!("a{}b", ",".repeat(1000))])), refused);
    }

    #[test]
    fn what_is_no_list_of_extensions_is_refused() {
        for value in [
            ";",
            ",;",
            "a;",
            "a;;b",
            "a;,b",
            "a b",
            "a;b=",
            "a;b=,c",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"x y\"",
            "a=b",
            "ü",
        ] {
            assert_eq!(parse(&headers(&[value])), Err(HandshakeError::InvalidHeader(NAME)), "{value:?}");
        }
    }
}
