//! Interoperability of compressed connections: every combination of parameters that other implementations support.

use std::sync::LazyLock;

use ws_std::{Chunk, CloseCode, Deflate, Error, HandshakeError, Message};
use ws_tests::{
    Language,
    deflating::{Agreed, Direction, EchoPeer, Parameters, Sent},
    either::{Adapter, Client, Route, Server, WebSocket},
};

macro_rules! with_every_peer {
    ($($test:ident)*) => {
        with_every_peer!(python_and_std, Python, Std, $($test)*);
        with_every_peer!(python_and_smol, Python, Smol, $($test)*);
        with_every_peer!(node_and_std, Node, Std, $($test)*);
        with_every_peer!(node_and_smol, Node, Smol, $($test)*);
    };
    ($name:ident, $language:ident, $adapter:ident, $($test:ident)*) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $test() {
                    ws_tests::bounded(|| super::$test(Language::$language, Adapter::$adapter));
                }
            )*
        }
    };
}

with_every_peer! {
    a_server_of_ours_understands_every_offer
    a_server_of_ours_demands_what_it_is_configured_to
    a_client_of_ours_is_understood_whatever_it_offers
    a_client_of_ours_does_what_every_server_demands
}

/// Our compression settings.
#[derive(Clone, Copy, Debug)]
struct Ours {
    server: Direction,
    client: Direction,
}

const ANYTHING: Direction = Direction { context_takeover: true, window_bits: 15 };
const OURS: Ours = Ours { server: ANYTHING, client: ANYTHING };
/// The smallest window of our codec, and the smallest window of the RFC, which may be negotiated nevertheless.
const SMALLEST: u8 = 9;
const SMALLEST_OF_THE_RFC: u8 = 8;

impl Ours {
    fn deflate(self) -> Deflate {
        let mut deflate = Deflate::default();
        deflate.threshold = 0;
        deflate.server_context_takeover = self.server.context_takeover;
        deflate.client_context_takeover = self.client.context_takeover;
        deflate.server_max_window_bits = self.server.window_bits;
        deflate.client_max_window_bits = self.client.window_bits;
        deflate
    }
}

/// Settings for each direction, with three settings of the other end.
fn many_ours(smallest: u8) -> impl Iterator<Item = Ours> {
    let directions: Vec<Direction> = every_direction(smallest).collect();
    let count = directions.len();
    (0..3 * count).map(move |at| Ours {
        server: directions[at % count],
        client: directions[(at + at / count * 5) % count],
    })
}

fn every_direction(smallest: u8) -> impl Iterator<Item = Direction> {
    [true, false].into_iter().flat_map(move |context_takeover| {
        (smallest..=15).map(move |window_bits| Direction { context_takeover, window_bits })
    })
}

/// Returns all parameters that a foreign end may offer or demand.
fn every_parameters() -> impl Iterator<Item = Parameters> {
    let flags = [(false, false), (false, true), (true, false), (true, true)].into_iter();
    flags.flat_map(|(server_no_context_takeover, client_no_context_takeover)| {
        std::iter::once(None).chain((8..=15).map(Some)).flat_map(move |server_max_window_bits| {
            let client = [None, Some(None)].into_iter().chain((8..=15).map(|bits| Some(Some(bits))));
            client.map(move |client_max_window_bits| Parameters {
                server_no_context_takeover,
                client_no_context_takeover,
                server_max_window_bits,
                client_max_window_bits,
            })
        })
    })
}

/// Returns the expected settings of a direction for the settings of both ends.
fn meet(ours: Direction, refused_takeover: bool, bits: Option<u8>) -> Direction {
    Direction {
        context_takeover: ours.context_takeover && !refused_takeover,
        window_bits: ours.window_bits.min(bits.unwrap_or(15)),
    }
}

/// Returns `true` if the peer can compress with this window. Python's zlib refuses the smallest window, and the
/// connection fails.
fn can_compress(language: Language, bits: u8) -> bool {
    language == Language::Node || bits > SMALLEST_OF_THE_RFC
}

fn a_server_of_ours_understands_every_offer(language: Language, adapter: Adapter) {
    let mut peer = EchoPeer::client(language);
    let (route, take) = Route::hand_over(adapter);
    let route = route.configure(|config| config.deflate = Some(OURS.deflate()));
    let server = Server::new(adapter).mount("/", route).start();
    let url = format!("ws://{}/", server.address());
    for offer in every_parameters() {
        let bits = offer.client_max_window_bits.flatten();
        if !can_compress(language, bits.unwrap_or(15)) {
            continue;
        }
        peer.connect(&url, &offer);
        let found = peer.wait_open();
        let expected = (offer.server_max_window_bits != Some(SMALLEST_OF_THE_RFC)).then(|| Agreed {
            server: meet(ANYTHING, offer.server_no_context_takeover, offer.server_max_window_bits),
            client: meet(ANYTHING, offer.client_no_context_takeover, bits),
        });
        assert_eq!(found, expected, "{offer:?}");
        let mut handed = take();
        converse(&mut handed.ws, &mut peer, expected.map(|agreed| agreed.server));
    }
}

fn a_server_of_ours_demands_what_it_is_configured_to(language: Language, adapter: Adapter) {
    let mut peer = EchoPeer::client(language);
    let offer = Parameters { client_max_window_bits: Some(None), ..Parameters::default() };
    let (mut server, mut takes) = (Server::new(adapter), Vec::new());
    for (number, ours) in many_ours(SMALLEST).enumerate() {
        let (route, take) = Route::hand_over(adapter);
        let route = route.configure(move |config| config.deflate = Some(ours.deflate()));
        server = server.mount(&format!("/{number}"), route);
        takes.push((ours, take));
    }
    let server = server.start();
    for (number, (ours, take)) in takes.into_iter().enumerate() {
        peer.connect(&format!("ws://{}/{number}", server.address()), &offer);
        let expected = Agreed { server: ours.server, client: ours.client };
        assert_eq!(peer.wait_open(), Some(expected), "{ours:?}");
        converse(&mut take().ws, &mut peer, Some(ours.server));
    }
}

fn a_client_of_ours_is_understood_whatever_it_offers(language: Language, adapter: Adapter) {
    let mut peer = EchoPeer::server(language);
    for ours in many_ours(SMALLEST_OF_THE_RFC) {
        meet_server(&mut peer, language, adapter, ours, &Parameters::default());
    }
}

fn a_client_of_ours_does_what_every_server_demands(language: Language, adapter: Adapter) {
    let mut peer = EchoPeer::server(language);
    let middle = Direction { context_takeover: true, window_bits: 12 };
    for settings in every_parameters().filter(|settings| settings.client_max_window_bits != Some(None)) {
        meet_server(&mut peer, language, adapter, OURS, &settings);
        if !settings.server_no_context_takeover && !settings.client_no_context_takeover {
            // A server that demands larger windows than it is offered.
            meet_server(&mut peer, language, adapter, Ours { server: middle, client: middle }, &settings);
        }
    }
}

fn meet_server(peer: &mut EchoPeer, language: Language, adapter: Adapter, ours: Ours, settings: &Parameters) {
    let (server_bits, client_bits) =
        (settings.server_max_window_bits, settings.client_max_window_bits.flatten());
    let agreed = Agreed {
        server: meet(ours.server, settings.server_no_context_takeover, server_bits),
        client: meet(ours.client, settings.client_no_context_takeover, client_bits),
    };
    if !can_compress(language, agreed.server.window_bits) {
        return;
    }
    let client = Client::new(adapter, &peer.url(settings))
        .configure(|config| config.deflate = Some(ours.deflate()))
        .connect_with_response();
    let larger = server_bits.is_some_and(|bits| bits > ours.server.window_bits)
        || client_bits.is_some_and(|bits| bits > ours.client.window_bits);
    if larger && language == Language::Node {
        // It refuses instead of accepting the offered window.
        assert!(
            matches!(&client, Err(Error::Handshake(HandshakeError::Refused(response))) if response.status() == 400),
            "{ours:?} and {settings:?}: {client:?}"
        );
        return;
    }
    let (mut ws, response) = client.unwrap_or_else(|error| panic!("{ours:?} and {settings:?}: {error}"));
    assert_eq!(peer.wait_open(), Some(agreed), "{ours:?} and {settings:?}");
    let answer = Parameters::of_answer(response.header_value("Sec-WebSocket-Extensions").unwrap());
    let told = Agreed {
        server: meet(ANYTHING, answer.server_no_context_takeover, answer.server_max_window_bits),
        client: meet(ours.client, answer.client_no_context_takeover, answer.client_max_window_bits.flatten()),
    };
    assert_eq!(told, agreed, "{ours:?} and {settings:?}");
    converse(&mut ws, peer, Some(agreed.client));
}

/// Sends messages that the peer echoes, closes, and checks the form in which the peer received them. `own` contains
/// the settings for our messages.
fn converse(ws: &mut WebSocket, peer: &mut EchoPeer, own: Option<Direction>) {
    let own = own.filter(|own| own.window_bits >= SMALLEST);
    let window = 1 << own.map_or(12, |own| own.window_bits);
    let short = noise_in_letters(0, 200);
    // The same text twice, once within the window and once beyond it.
    let near = noise(2000, window / 4).repeat(2);
    let far = noise(12_000, window).repeat(2);
    let long = noise_in_letters(1000, 1000).repeat(100);
    let messages: [Message<'_>; 8] = [
        short.as_str().into(),
        short.as_str().into(),
        "".into(),
        (&near[..]).into(),
        (&far[..]).into(),
        long.as_str().into(),
        (&b""[..]).into(),
        short.as_str().into(),
    ];
    for message in &messages {
        ws.send(message).unwrap();
        assert_eq!(ws.message(), *message, "{own:?}");
    }
    let (start, end) = short.split_at(100);
    for chunk in [Chunk::new(start), Chunk::new(""), Chunk::last(end)] {
        ws.send_chunk(chunk).unwrap();
    }
    assert_eq!(ws.message(), *short, "{own:?}");
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();

    let sent = peer.wait_closed();
    assert_eq!(sent.len(), messages.len() + 1);
    let Some(own) = own else {
        assert!(sent.iter().all(|sent| matches!(sent, Sent::Plain(_))), "{sent:?}");
        return;
    };
    for (at, sent) in sent.iter().enumerate() {
        // Without a context, a message that compression would enlarge is sent uncompressed.
        let would_grow = [2, 4, 6].contains(&at);
        let compressed = matches!(sent, Sent::Compressed(_));
        assert_eq!(compressed, own.context_takeover || !would_grow, "message {at}, {own:?}: {sent:?}");
    }
    let sizes: Vec<usize> = sent
        .iter()
        .map(|sent| match sent {
            Sent::Compressed(size) | Sent::Plain(size) => *size,
        })
        .collect();
    assert!(sizes[0] < short.len(), "{sizes:?}");
    if own.context_takeover {
        assert!(sizes[1] < sizes[0] / 4, "{own:?}: {sizes:?}");
    } else {
        assert_eq!((sizes[1], sizes[7]), (sizes[0], sizes[0]), "{own:?}: {sizes:?}");
    }
    assert!(sizes[3] < near.len() * 3 / 4, "the window is used: {own:?}: {sizes:?}");
    assert!(sizes[4] > far.len() * 9 / 10, "the window is obeyed: {own:?}: {sizes:?}");
}

/// Incompressible bytes.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(48 << 10).collect()
});

/// Returns this number of incompressible bytes, different for each position.
fn noise(place: usize, len: usize) -> &'static [u8] {
    &NOISE[place..place + len]
}

fn noise_in_letters(place: usize, len: usize) -> String {
    noise(place, len).iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}
