//! Negotiation between two ends (RFC 7692 section 7.1).

use proptest::prelude::*;
use ws_core::{
    Connection, Event, HandshakeConfig, HandshakeError, Message, Timestamp, client, testing::Head,
};

use super::{Config, compressing, drain, open, receive, server_for_offer};

#[test]
fn an_offer_is_answered_with_what_it_allows_and_the_server_wants() {
    let config = compressing(|_, deflate| deflate.server_context_takeover = true);
    let small = compressing(|_, deflate| {
        deflate.server_max_window_bits = 10;
        deflate.client_max_window_bits = 11;
        deflate.client_context_takeover = false;
    });
    let plain = "permessage-deflate";
    for (config, offer, response) in [
        (&config, "permessage-deflate", Some("")),
        (&config, "PerMessage-Deflate", Some("")),
        (&config, "permessage-deflate; client_max_window_bits", Some("")),
        (&config, "permessage-deflate; client_max_window_bits=8", Some("; client_max_window_bits=8")),
        (&config, "permessage-deflate; client_max_window_bits=\"10\"", Some("; client_max_window_bits=10")),
        (&config, "permessage-deflate; server_max_window_bits=9", Some("; server_max_window_bits=9")),
        (&config, "permessage-deflate; server_max_window_bits=15", Some("; server_max_window_bits=15")),
        (&config, "permessage-deflate; server_no_context_takeover", Some("; server_no_context_takeover")),
        (&config, "permessage-deflate; client_no_context_takeover", Some("; client_no_context_takeover")),
        // The window that the codec does not support, and all invalid offers.
        (&config, "permessage-deflate; server_max_window_bits=8", None),
        (&config, "permessage-deflate; server_max_window_bits", None),
        (&config, "permessage-deflate; server_max_window_bits=16", None),
        (&config, "permessage-deflate; server_max_window_bits=7", None),
        (&config, "permessage-deflate; server_max_window_bits=09", None),
        (&config, "permessage-deflate; server_max_window_bits=1e1", None),
        (&config, "permessage-deflate; client_max_window_bits=0x0a", None),
        (&config, "permessage-deflate; server_no_context_takeover=1", None),
        (&config, "permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        (&config, "permessage-deflate; unknown", None),
        (&config, "x-webkit-deflate-frame", None),
        // The first acceptable offer.
        (
            &config,
            "foo; bar=1, permessage-deflate; unknown, permessage-deflate; server_max_window_bits=12",
            Some("; server_max_window_bits=12"),
        ),
        (
            &small,
            "permessage-deflate",
            Some("; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10"),
        ),
        (
            &small,
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9",
            Some(
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9",
            ),
        ),
        (
            &small,
            "permessage-deflate; client_max_window_bits",
            Some(
                "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11",
            ),
        ),
    ] {
        let (connection, answered) = server_for_offer(offer, config);
        assert_eq!(answered, response.map(|response| format!("{plain}{response}")), "{offer}");
        assert_eq!(connection.is_compression_negotiated(), response.is_some(), "{offer}");
    }
}

#[test]
fn a_server_that_does_not_compress_answers_no_offer() {
    let (connection, answered) =
        server_for_offer("permessage-deflate", &std::sync::Arc::new(Config::default()));
    assert_eq!((connection.is_compression_negotiated(), answered), (false, None));
}

/// Returns the result of a client with this configuration for this response.
fn client_for_response(
    response: &str,
    config: &std::sync::Arc<Config>,
) -> Result<Connection, HandshakeError> {
    let request = client::Request::new("ws://host/".parse().unwrap());
    let mut handshake = client::Handshake::new(
        &request,
        &HandshakeConfig::default(),
        config.clone(),
        [7; 32],
        Timestamp::ZERO,
    )?;
    let request = drain(&mut handshake.transmit());
    let head = Head::response_to(&request).with(format!("Sec-WebSocket-Extensions: {response}"));
    let (connection, _) = handshake.receive(&mut &mut head.bytes()[..])?.unwrap();
    Ok(connection)
}

/// Returns the offer of a client with this configuration.
fn offer_of(config: &std::sync::Arc<Config>) -> String {
    let request = client::Request::new("ws://host/".parse().unwrap());
    let mut handshake = client::Handshake::new(
        &request,
        &HandshakeConfig::default(),
        config.clone(),
        [7; 32],
        Timestamp::ZERO,
    )
    .unwrap();
    let request = String::from_utf8(drain(&mut handshake.transmit())).unwrap();
    let offer = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    offer.expect("an offer").to_owned()
}

#[test]
fn a_client_prefers_no_server_context_but_also_accepts_one() {
    assert_eq!(
        offer_of(&compressing(|_, _| {})),
        "permessage-deflate; server_no_context_takeover; client_max_window_bits, \
         permessage-deflate; client_max_window_bits"
    );
    assert_eq!(
        offer_of(&compressing(|_, deflate| {
            deflate.server_max_window_bits = 10;
            deflate.client_context_takeover = false;
        })),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; \
         client_max_window_bits, permessage-deflate; client_no_context_takeover; server_max_window_bits=10; \
         client_max_window_bits"
    );
    let with_context = compressing(|_, deflate| deflate.server_context_takeover = true);
    assert_eq!(offer_of(&with_context), "permessage-deflate; client_max_window_bits");
}

#[test]
fn a_client_opens_with_a_server_that_answers_without_parameters() {
    let mut client = client_for_response("permessage-deflate", &compressing(|_, _| {})).unwrap();
    // RFC 7692 7.2.3.2: the second message refers to the first.
    for payload in [&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xf2, 0x00, 0x11, 0x00, 0x00]] {
        let frame = [&[0xC1, payload.len() as u8][..], payload].concat();
        let events = receive(&mut client, &frame, usize::MAX).unwrap();
        assert_eq!(events, [Event::Message(Message::from("Hello"))]);
    }
}

#[test]
fn an_error_about_compression_quotes_the_answer_and_the_parameter() {
    let small = compressing(|_, deflate| deflate.server_max_window_bits = 10);
    for (answer, parameter, problem) in [
        ("permessage-deflate", "server_max_window_bits", "was demanded and is missing"),
        (
            "permessage-deflate; server_max_window_bits=11",
            "server_max_window_bits",
            "is larger than was demanded",
        ),
        ("permessage-deflate; server_max_window_bits", "server_max_window_bits", "has no value"),
        ("permessage-deflate; server_max_window_bits=99", "server_max_window_bits", "has an invalid value"),
        ("permessage-deflate; client_max_window_bits", "client_max_window_bits", "has no value"),
        ("permessage-deflate; Server_No_Context_Takeover=1", "Server_No_Context_Takeover", "has a value"),
        ("permessage-deflate; mystery=1", "mystery", "is unknown"),
        ("permessage-deflate; a; a", "a", "is unknown"),
        (
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "client_no_context_takeover",
            "is repeated",
        ),
    ] {
        let error = client_for_response(answer, &small).map(drop).unwrap_err();
        let expected =
            HandshakeError::ExtensionParameter { value: answer.into(), parameter: parameter.into(), problem };
        assert_eq!(error, expected);
        let text = error.to_string();
        assert!([answer, parameter, problem].iter().all(|part| text.contains(part)), "{text}");
    }
    let long = format!("permessage-deflate; {}", "x".repeat(10_000));
    let error = client_for_response(&long, &small).map(drop).unwrap_err();
    assert!(matches!(&error, HandshakeError::ExtensionParameter { value, .. } if value.len() == 200));
}

#[test]
fn a_client_takes_only_answers_to_what_it_offered() {
    let config = compressing(|_, deflate| deflate.server_context_takeover = true);
    let strict = compressing(|_, deflate| {
        deflate.server_max_window_bits = 10;
        deflate.server_context_takeover = false;
    });
    for (config, response, taken) in [
        (&config, "permessage-deflate", true),
        (&config, "permessage-deflate; server_max_window_bits=8", true),
        (&config, "permessage-deflate; client_max_window_bits=8", true),
        (&config, "permessage-deflate; client_no_context_takeover; server_no_context_takeover", true),
        (&config, "permessage-deflate; client_max_window_bits", false),
        (&config, "permessage-deflate; server_max_window_bits", false),
        (&config, "permessage-deflate; server_max_window_bits=20", false),
        (&config, "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", false),
        (&config, "permessage-deflate; unknown", false),
        (&config, "permessage-deflate, permessage-deflate", false),
        (&config, "permessage-deflate, foo", false),
        (&config, "foo", false),
        (&config, "permessage-deflate;", false),
        (&strict, "permessage-deflate; server_no_context_takeover; server_max_window_bits=10", true),
        (&strict, "permessage-deflate; server_no_context_takeover; server_max_window_bits=11", false),
        (&strict, "permessage-deflate; server_no_context_takeover", false),
        // The second offer does not ask the server to keep no context.
        (&strict, "permessage-deflate; server_max_window_bits=10", true),
    ] {
        let result = client_for_response(response, config);
        assert_eq!(result.is_ok(), taken, "{response}: {result:?}");
        assert!(result.map_or(true, |connection| connection.is_compression_negotiated()));
    }
    let error = client_for_response("permessage-deflate", &Config::default().into()).map(drop).unwrap_err();
    assert_eq!(error, HandshakeError::UnofferedExtension);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    // Any two configurations agree on parameters that both ends support: each end can read the messages of the other.
    #[test]
    fn any_two_configurations_agree_and_understand_each_other(
        bits in prop::array::uniform4(9_u8..=15),
        takeover in prop::array::uniform4(any::<bool>()),
        texts in prop::collection::vec("[a-e]{0,300}", 1..6),
    ) {
        let config = |at: usize| compressing(|_, deflate| {
            deflate.server_max_window_bits = bits[at];
            deflate.client_max_window_bits = bits[at + 1];
            deflate.server_context_takeover = takeover[at];
            deflate.client_context_takeover = takeover[at + 1];
        });
        let (mut client, mut server, response) = open(&config(0), &config(2)).unwrap();
        prop_assert!(response.is_some());
        prop_assert!(client.is_compression_negotiated() && server.is_compression_negotiated());
        for text in &texts {
            for from_client in [true, false] {
                let (from, to) = if from_client { (&mut client, &mut server) } else { (&mut server, &mut client) };
                from.send(text.as_str()).unwrap();
                let bytes = drain(&mut from.transmit());
                prop_assert_eq!(receive(to, &bytes, 7).unwrap(), [Event::Message(Message::from(text.as_str()))]);
            }
        }
    }
}
