//! Differential tests: generated conversations, most of them invalid, go to our core, to `tungstenite`, to Python's
//! `wsproto` and `websockets`, to Node's `ws` and to the C library wslay, in both roles. All must deliver the same
//! messages and pings in the same order and end in the same way. Every difference is listed with the behaviour of the
//! other implementation and the deciding clause of RFC 6455.

mod conversation;
mod differences;
mod judges;
mod seed;

use std::{collections::BTreeMap, env};

use ws_std::ws_core::Role;
use ws_tests::bounded;

use self::{
    conversation::{Case, Kind},
    differences::DIFFERENCES,
    judges::{Foreign, Judge, Verdict, ours},
    seed::Seed,
};

/// Number of conversations for each role and implementation.
const CASES: u64 = 600;

/// Returns both roles with the numbers of the conversations, which an environment variable can increase.
fn cases() -> impl Iterator<Item = Case> {
    let count = env::var("CASES").map_or(CASES, |count| count.parse().expect("CASES is a number"));
    let first = env::var("SEED").map_or(0, |seed| seed.parse().expect("SEED is a number"));
    (first..first + count)
        .flat_map(|seed| [Role::Server, Role::Client].map(|role| Case::new(&mut Seed::new(seed), role, seed)))
}

/// Returns the expected verdict of an implementation, derived from our core's.
fn expected(judge: Judge, case: &Case, ours: &Verdict) -> Verdict {
    let difference = DIFFERENCES.iter().find(|entry| entry.applies(judge, case));
    difference.map_or_else(|| ours.clone(), |entry| entry.theirs(case, ours))
}

fn agree(judge: Judge) {
    bounded(move || {
        let mut foreign = Foreign::new(judge);
        let mut seen = BTreeMap::<Kind, (usize, usize)>::new();
        for case in cases() {
            let ours = ours(&case, &[usize::MAX]);
            let theirs = foreign.verdict(&case);
            assert_eq!(
                theirs,
                expected(judge, &case, &ours),
                "{judge:?} (left) about SEED={} as {:?}, {:?}; ours: {ours:?}; the bytes: {:02x?}",
                case.seed,
                case.role,
                case.kind,
                case.pieces
            );
            let count = seen.entry(case.kind).or_default();
            count.0 += 1;
            count.1 += usize::from(theirs != ours);
        }
        // Each kind of conversation occurred, and so did each listed difference.
        if env::var_os("SEED").is_none() {
            for kind in Kind::ALL {
                assert!(seen.get(&kind).is_some_and(|(cases, _)| *cases > 0), "{kind:?} never came up");
            }
            for entry in DIFFERENCES.iter().filter(|entry| entry.judges.contains(&judge)) {
                let differed = entry.kinds.iter().filter_map(|kind| seen.get(kind)).any(|seen| seen.1 > 0);
                assert!(differed, "{judge:?} differs no longer: {}", entry.clause);
            }
        }
    });
}

#[test]
fn tungstenite_agrees_on_all_conversations_except_listed_differences() {
    agree(Judge::Tungstenite);
}

#[test]
fn wsproto_agrees_on_all_conversations_except_listed_differences() {
    agree(Judge::Wsproto);
}

#[test]
fn websockets_agrees_on_all_conversations_except_listed_differences() {
    agree(Judge::Websockets);
}

#[test]
fn ws_of_node_agrees_about_all_conversations_but_the_listed_differences() {
    agree(Judge::Ws);
}

#[test]
fn wslay_agrees_about_every_conversation_but_for_the_listed_differences() {
    agree(Judge::Wslay);
}

#[test]
fn our_verdict_is_the_same_however_a_conversation_is_cut() {
    for case in cases() {
        let whole = ours(&case, &[usize::MAX]);
        for cut in [&[1][..], &[2, 3], &[1, 7, 50]] {
            assert_eq!(ours(&case, cut), whole, "SEED={} in pieces of {cut:?}", case.seed);
        }
    }
}

#[test]
fn every_conversation_ends_as_its_kind_has_to() {
    for case in cases() {
        let verdict = ours(&case, &[usize::MAX]);
        assert_eq!(verdict.end, case.end, "SEED={} {:?}: {verdict:?}", case.seed, case.kind);
    }
}
