//! Conversions of messages and URLs, and messages that contain JSON.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use ws_core::{JsonError, Message, Side, Url, UrlError};

#[test]
fn an_owned_payload_is_converted_without_a_copy() {
    let text = "text ".repeat(100);
    let address = text.as_ptr();
    let text = Message::from(text).into_text().unwrap();
    assert_eq!(text.as_ptr(), address);
    let bytes = Bytes::from(Message::from(text));
    assert_eq!(bytes.as_ptr(), address);
    let message = Message::from(bytes);
    assert!(message.is_binary());
    let bytes = Vec::from(message);
    assert_eq!(bytes.as_ptr(), address);
}

#[test]
fn shared_bytes_are_borrowed_or_copied_and_never_changed() {
    let bytes = Bytes::from(vec![7; 100]);
    let borrowed = Message::from(&bytes);
    assert_eq!(borrowed.as_bytes().as_ptr(), bytes.as_ptr());
    let copied = Message::from(bytes.clone());
    assert_ne!(copied.as_bytes().as_ptr(), bytes.as_ptr());
    assert_eq!(copied, borrowed);
    assert_eq!(Message::from(Bytes::from_static(b"static")), Message::from(b"static"));
}

#[test]
fn a_cow_keeps_its_kind_and_its_borrow() {
    assert!(matches!(Message::from(Cow::Borrowed("text")), Message::Text(Cow::Borrowed("text"))));
    let bytes: Cow<'_, [u8]> = Cow::Owned(vec![1]);
    assert!(matches!(Message::from(bytes), Message::Binary(Cow::Owned(_))));
}

#[test]
fn a_binary_message_is_no_text_even_if_it_is_utf_8() {
    let binary = Message::from(b"text");
    assert_eq!(binary.clone().into_text(), Err(binary.clone()));
    assert_eq!(String::try_from(binary.clone()), Err(binary));
    assert_eq!(String::try_from(Message::from("text")).as_deref(), Ok("text"));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Move<'a> {
    piece: Cow<'a, str>,
    to: [u8; 2],
}

#[test]
fn a_value_becomes_text_and_text_becomes_the_value() {
    let value = Move { piece: "knight".into(), to: [5, 3] };
    let message = Message::json(&value).unwrap();
    assert_eq!(message, r#"{"piece":"knight","to":[5,3]}"#);
    assert_eq!(message.parse_json::<Move<'_>>().unwrap(), value);
    // Borrowed from the message.
    let message = Message::from(r#""borrowed""#);
    assert_eq!(message.parse_json::<&str>().unwrap(), "borrowed");
}

#[test]
fn an_error_names_the_side_the_position_and_the_reason() {
    let wrong_type = Message::from("{\"piece\": \"pawn\",\n \"to\": [1, \"two\"]}");
    let error = wrong_type.parse_json::<Move<'_>>().unwrap_err();
    assert_eq!(error.side(), Side::Remote);
    assert_eq!(error.position(), Some((2, 16)));
    assert_eq!(
        error.to_string(),
        "the peer sent JSON that does not fit the expected type (line 2, column 16): \
         invalid type: string \"two\", expected u8"
    );
    let error = Message::from("Hello").parse_json::<u8>().unwrap_err();
    assert_eq!(error.to_string(), "the peer sent text that is not JSON (line 1, column 1): expected value");
    let error = Message::from("[1, 2").parse_json::<Vec<u8>>().unwrap_err();
    assert!(
        error.to_string().starts_with("the peer sent JSON that is incomplete (line 1, column 5)"),
        "{error}"
    );
    let error = Message::from(b"{}").parse_json::<BTreeMap<String, u8>>().unwrap_err();
    assert!(matches!(error, JsonError::Binary { len: 2 }));
    assert_eq!(error.side(), Side::Remote);
    assert_eq!(error.to_string(), "the peer sent a binary message of 2 bytes where JSON text was expected");
    let error = Message::json(&BTreeMap::from([([1, 2], 3)])).unwrap_err();
    assert_eq!((error.side(), error.position()), (Side::Local, None));
    assert!(error.to_string().starts_with("this application's value cannot be written as JSON: "), "{error}");
}

#[test]
fn an_error_quotes_the_peer_in_one_short_line() {
    for payload in ["x".repeat(1 << 20), "€".repeat(1000), "\n\u{1b}[31m".repeat(100)] {
        let message = Message::json(&payload).unwrap();
        let error = message.parse_json::<u8>().unwrap_err().to_string();
        assert!(error.len() < 400 && error.ends_with('…'), "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let error = Message::from(deep).parse_json::<serde_json::Value>().unwrap_err();
    assert!(error.to_string().contains("recursion limit"), "{error}");
}

#[test]
fn addresses_of_the_crate_url_are_converted_in_both_directions() {
    for (text, expected) in [
        ("ws://example.com", "ws://example.com/"),
        ("wss://bücher.example:9001/ü?x=ö", "wss://xn--bcher-kva.example:9001/%C3%BC?x=%C3%B6"),
        ("http://[2001:db8::1]:80/a", "ws://[2001:db8::1]/a"),
    ] {
        let foreign = url::Url::parse(text).unwrap();
        let url = Url::try_from(&foreign).unwrap();
        assert_eq!(url.to_string(), expected);
        assert_eq!(url::Url::try_from(&url).unwrap().as_str(), expected);
        assert_eq!(Url::try_from(foreign), Ok(url));
    }
    let convert = |text| Url::try_from(url::Url::parse(text).unwrap());
    assert_eq!(convert("ftp://example.com/"), Err(UrlError::Scheme));
    assert_eq!(convert("ws://example.com/#top"), Err(UrlError::Fragment));
    // A zone has no form in the crate `url`.
    let zone: Url = "ws://[fe80::1%25lo]/".parse().unwrap();
    assert!(url::Url::try_from(&zone).is_err());
}
