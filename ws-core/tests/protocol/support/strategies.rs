//! Random frames, streams and cuts.

use proptest::{collection::vec, prelude::*, sample::Index};
use ws_core::{Config, Role};

use super::wire::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};

pub(crate) fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

/// Lengths around every border of the length field, small ones above all.
pub(crate) fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => 0_usize..40,
        6 => 120_usize..135,
        4 => 135_usize..5000,
        1 => 65530_usize..65540,
    ]
}

pub(crate) fn payload() -> impl Strategy<Value = Vec<u8>> {
    len().prop_flat_map(|len| vec(any::<u8>(), len))
}

/// Text with characters of every width.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let character =
        prop_oneof![4 => prop::char::range(' ', '~'), 3 => any::<char>(), 1 => Just('\u{10FFFF}')];
    let short = vec(character, 0..50).prop_map(String::from_iter);
    // Long enough for the vectorised validation.
    prop_oneof![4 => short.clone(), 1 => (short, 2..20_usize).prop_map(|(text, times)| text.repeat(times))]
}

/// Bytes that are often nearly UTF-8.
pub(crate) fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let interesting = prop::sample::select(vec![
        0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEE, 0xEF,
        0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ]);
    let part = prop_oneof![
        3 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        1 => any_text().prop_map(String::into_bytes),
        1 => vec(interesting, 1..4),
        1 => (any::<char>(), any::<Index>()).prop_map(|(character, at)| {
            let bytes = character.to_string().into_bytes();
            bytes[..at.index(bytes.len())].to_vec()
        }),
    ];
    vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// Sizes of pieces, for [`super::pieces`].
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..4_usize, 1..6), vec(1..40_usize, 1..6), vec(1..3000_usize, 1..6)]
}

/// A ping, or a pong.
fn sign_of_life() -> impl Strategy<Value = Frame> {
    (prop::bool::ANY, vec(any::<u8>(), 0..126))
        .prop_map(|(is_ping, payload)| Frame::new(if is_ping { PING } else { PONG }, payload))
}

/// One message in any number of fragments, with pings and pongs between them.
fn message() -> impl Strategy<Value = Vec<Frame>> {
    let content = prop_oneof![
        payload().prop_map(|payload| (BINARY, payload)),
        any_text().prop_map(|text| (TEXT, text.into_bytes())),
    ];
    let cuts = prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<Index>(), 1..6)];
    (content, cuts, vec(sign_of_life(), 0..3)).prop_map(|((opcode, payload), cuts, between)| {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let mut between = between.into_iter();
        let mut frames = Vec::new();
        let mut start = 0;
        for cut in cuts {
            frames.push(Frame::new(CONTINUATION, &payload[start..cut]).unfinished());
            frames.extend(between.next());
            start = cut;
        }
        frames.push(Frame::new(CONTINUATION, &payload[start..]));
        frames[0].opcode = opcode;
        frames
    })
}

/// Frames that obey every rule, perhaps with a Close and something behind it.
pub(crate) fn legal_frames() -> impl Strategy<Value = Vec<Frame>> {
    let item = prop_oneof![3 => message(), 1 => sign_of_life().prop_map(|frame| vec![frame])];
    let code = prop_oneof![1000..=1003_u16, 1007..=1014_u16, 3000..=4999_u16];
    let close = prop_oneof![
        2 => Just(None),
        1 => (code, "[a-zü]{0,40}").prop_map(|(code, reason)| Some(Frame::close(code, &reason))),
        1 => Just(Some(Frame::new(CLOSE, []))),
    ];
    (vec(item, 0..5), close, vec(sign_of_life(), 0..2)).prop_map(|(items, close, behind)| {
        let mut frames = items.concat();
        frames.extend(close);
        frames.extend(behind);
        frames
    })
}

/// Frames of which each may break a rule, though most do not.
fn any_frames() -> impl Strategy<Value = Vec<Frame>> {
    let opcode = prop_oneof![
        8 => Just(TEXT), 8 => Just(BINARY), 12 => Just(CONTINUATION), 4 => Just(CLOSE), 4 => Just(PING),
        4 => Just(PONG), 1 => 0..16_u8
    ];
    let rsv = prop_oneof![20 => Just(0), 1 => 0..8_u8];
    let code = (990..5010_u16).prop_map(|code| code.to_be_bytes().to_vec());
    let payload = prop_oneof![2 => payload(), 3 => nearly_text(), 1 => code];
    let frame = (prop::bool::weighted(0.6), rsv, opcode, payload).prop_map(|(fin, rsv, opcode, payload)| {
        let fin = fin || opcode >= 8;
        Frame { fin, rsv, opcode, key: None, payload }
    });
    vec(frame, 0..8)
}

/// Changes to a stream, each at a place.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Repeat(Index, usize),
    Cut(Index),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<Index>;
    let mutation = prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, 1 << bit)),
        1 => (at(), 1..20_usize).prop_map(|(at, len)| Mutation::Remove(at, len)),
        1 => (at(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (at(), 1..20_usize).prop_map(|(at, len)| Mutation::Repeat(at, len)),
        2 => at().prop_map(Mutation::Cut),
    ];
    vec(mutation, 0..3)
}

fn mutate(bytes: &mut Vec<u8>, mutation: Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Flip(at, bits) => *at.get_mut(bytes) ^= bits,
        Mutation::Remove(at, len) => {
            let start = at.index(bytes.len());
            bytes.drain(start..bytes.len().min(start + len));
        }
        Mutation::Insert(at, inserted) => {
            let start = at.index(bytes.len());
            bytes.splice(start..start, inserted);
        }
        Mutation::Repeat(at, len) => {
            let start = at.index(bytes.len());
            let repeated = bytes[start..bytes.len().min(start + len)].to_vec();
            bytes.splice(start..start, repeated);
        }
        Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
}

/// What an endpoint of this role may receive: legal, nearly legal, cut, or noise.
pub(crate) fn any_stream(receiver: Role) -> impl Strategy<Value = Vec<u8>> {
    let encode = move |frames: Vec<Frame>, keys: Vec<[u8; 4]>| {
        let keyed = frames.into_iter().zip(keys.into_iter().cycle());
        let encode = |(frame, key)| match receiver {
            Role::Server => Frame::masked(frame, key).encode(),
            Role::Client => frame.encode(),
        };
        keyed.flat_map(encode).collect::<Vec<u8>>()
    };
    let frames = prop_oneof![3 => legal_frames(), 2 => any_frames()];
    let structured = (frames, vec(any::<[u8; 4]>(), 3)).prop_map(move |(frames, keys)| encode(frames, keys));
    let mutated = (structured, prop_oneof![1 => Just(Vec::new()), 2 => mutations()]).prop_map(
        |(mut bytes, mutations)| {
            mutations.into_iter().for_each(|mutation| mutate(&mut bytes, mutation));
            bytes
        },
    );
    prop_oneof![9 => mutated, 1 => vec(any::<u8>(), 0..60)]
}

pub(crate) fn role_and_stream() -> impl Strategy<Value = (Role, Vec<u8>)> {
    role().prop_flat_map(|role| (Just(role), any_stream(role)))
}

/// Configurations whose limits matter, or not.
pub(crate) fn limits() -> impl Strategy<Value = Config> {
    let size = || prop_oneof![3 => Just(usize::MAX), 2 => 0..200_usize];
    let fragments = prop_oneof![2 => Just(1024), 1 => 0..5_usize];
    (size(), size(), fragments).prop_map(|(message, frame, fragments)| {
        let mut config = Config::default();
        config.max_message_size = message;
        config.max_frame_size = frame;
        config.max_fragments = fragments;
        config
    })
}
