use proptest::{collection::vec, prelude::*, sample::Index};

use super::{any_text, close_code, nearly_text, payload, role};
use crate::{
    Role,
    frame::{Header, Opcode},
    testing::wire::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT},
};

/// Creates a valid header (RFC 6455 section 5.2) of a frame of any size.
pub fn header() -> impl Strategy<Value = Header> {
    let opcode = prop::sample::select(vec![
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Close,
        Opcode::Ping,
        Opcode::Pong,
    ]);
    let len = prop_oneof![
        4 => 0..126_u64,
        2 => 126..0x1_0000_u64,
        1 => 0x1_0000..1_u64 << 63,
        1 => prop::sample::select(vec![125, 126, 0xFFFF, 0x1_0000, (1 << 63) - 1]),
    ];
    (any::<[bool; 4]>(), opcode, any::<Option<[u8; 4]>>(), len).prop_map(
        |([fin, rsv1, rsv2, rsv3], opcode, masking_key, len)| {
            let (fin, payload_len) = if opcode.is_control() { (true, len % 126) } else { (fin, len) };
            Header { fin, rsv1, rsv2, rsv3, opcode, masking_key, payload_len }
        },
    )
}

/// Creates a ping or a pong.
fn sign_of_life() -> impl Strategy<Value = Frame> {
    (prop::bool::ANY, vec(any::<u8>(), 0..126))
        .prop_map(|(is_ping, payload)| Frame::new(if is_ping { PING } else { PONG }, payload))
}

/// Creates one message in any number of fragments, with pings and pongs between them.
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

/// Creates valid frames, optionally with a Close and further frames after it.
pub fn legal_frames() -> impl Strategy<Value = Vec<Frame>> {
    let item = prop_oneof![3 => message(), 1 => sign_of_life().prop_map(|frame| vec![frame])];
    let close = prop_oneof![
        2 => Just(None),
        1 => (close_code(), "[a-zü]{0,40}").prop_map(|(code, reason)| Some(Frame::close(code.get(), &reason))),
        1 => Just(Some(Frame::new(CLOSE, []))),
    ];
    (vec(item, 0..5), close, vec(sign_of_life(), 0..2)).prop_map(|(items, close, behind)| {
        let mut frames = items.concat();
        frames.extend(close);
        frames.extend(behind);
        frames
    })
}

/// Creates a frame that may be invalid, although most are valid.
pub fn frame() -> impl Strategy<Value = Frame> {
    let opcode = prop_oneof![
        8 => Just(TEXT), 8 => Just(BINARY), 12 => Just(CONTINUATION), 4 => Just(CLOSE), 4 => Just(PING),
        4 => Just(PONG), 1 => 0..16_u8
    ];
    let rsv = prop_oneof![20 => Just(0), 1 => 0..8_u8];
    let code = (990..5010_u16).prop_map(|code| code.to_be_bytes().to_vec());
    let payload = prop_oneof![2 => payload(), 3 => nearly_text(), 1 => code];
    (prop::bool::weighted(0.6), rsv, opcode, payload).prop_map(|(fin, rsv, opcode, payload)| {
        let fin = fin || opcode >= 8;
        Frame { fin, rsv, opcode, key: None, payload }
    })
}

/// Creates several such frames.
pub fn any_frames() -> impl Strategy<Value = Vec<Frame>> {
    vec(frame(), 0..8)
}

/// A change to a stream at a position.
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

/// Creates input for an endpoint of this role: valid, nearly valid, truncated, or noise.
pub fn any_stream(receiver: Role) -> impl Strategy<Value = Vec<u8>> {
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

/// Creates a role, and input for an endpoint of this role.
pub fn role_and_stream() -> impl Strategy<Value = (Role, Vec<u8>)> {
    role().prop_flat_map(|role| (Just(role), any_stream(role)))
}
