//! The known differences between other implementations and ours.

use crate::{
    conversation::{Case, Kind},
    judges::{
        End,
        Judge::{self, Tungstenite, Websockets, Wsproto},
        Verdict,
    },
};

/// An implementation's behaviour in some kinds of conversations, and the RFC clause that decides.
pub(crate) struct Difference {
    pub(crate) judges: &'static [Judge],
    pub(crate) kinds: &'static [Kind],
    /// The text of RFC 6455, and the behaviour of the other implementation.
    pub(crate) clause: &'static str,
    instead: Instead,
}

/// The behaviour of an implementation that differs from ours.
#[derive(Clone, Copy)]
enum Instead {
    /// It fails with another code.
    Fails(u16),
    /// It treats the input as a Close with this code.
    Closes(u16),
    /// It delivers the messages that we refuse, and continues.
    Tolerates,
    /// It waits for more bytes.
    Waits,
    /// It delivers the preceding data before it fails.
    Later,
}

impl Difference {
    pub(crate) fn applies(&self, judge: Judge, case: &Case) -> bool {
        self.judges.contains(&judge) && self.kinds.contains(&case.kind)
    }

    /// Returns the other implementation's verdict, derived from ours.
    pub(crate) fn theirs(&self, case: &Case, ours: &Verdict) -> Verdict {
        let mut verdict = ours.clone();
        match self.instead {
            Instead::Fails(code) => verdict.end = End::Failed(code),
            Instead::Closes(code) => verdict.end = End::Closed(Some(code)),
            Instead::Waits => verdict.end = End::Open,
            Instead::Tolerates => {
                verdict.said.extend(case.tolerated.clone());
                verdict.end = End::Open;
            }
            Instead::Later => verdict.said.extend(case.tolerated.clone()),
        }
        verdict
    }
}

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        judges: &[Tungstenite, Websockets],
        kinds: &[Kind::LongLength],
        clause: "5.2: \"in all cases, the minimal number of bytes MUST be used to encode the length\"; they \
                 take any",
        instead: Instead::Tolerates,
    },
    Difference {
        judges: &[Tungstenite, Websockets],
        kinds: &[Kind::HighestBit],
        clause: "5.2: \"the most significant bit MUST be 0\"; to them it is a large frame and no broken rule",
        instead: Instead::Fails(1009),
    },
    Difference {
        judges: &[Tungstenite],
        kinds: &[Kind::ForbiddenCode, Kind::UnregisteredCode],
        clause: "7.4: such codes are not used; it answers with 1002 too, but tells its application of a Close \
                 with 1002 that the peer never sent, and not of a mistake",
        instead: Instead::Closes(1002),
    },
    Difference {
        judges: &[Tungstenite],
        kinds: &[Kind::LastClose],
        clause: "7.4.2: codes below 3000 are for \"future revisions\"; 1014 is not on its list, and it does as \
                 with every other",
        instead: Instead::Closes(1002),
    },
    Difference {
        judges: &[Wsproto],
        kinds: &[Kind::LastClose],
        clause: "7.4.2: codes below 3000 are for \"future revisions\"; 1014 is not on its list",
        instead: Instead::Fails(1002),
    },
    Difference {
        judges: &[Websockets],
        kinds: &[Kind::CloseInMessage],
        clause: "5.4: \"Control frames (see Section 5.5) MAY be injected in the middle of a fragmented \
                 message\", and a Close is one; it takes this for a mistake",
        instead: Instead::Fails(1002),
    },
    Difference {
        judges: &[Websockets],
        kinds: &[Kind::NotUtf8InFragment],
        clause: "8.1 leaves open when an endpoint looks; it looks at a text when it is whole, and answers \
                 pings until then",
        instead: Instead::Later,
    },
    Difference {
        judges: &[Tungstenite, Websockets],
        kinds: &[Kind::NotUtf8InPart],
        clause: "8.1 leaves open when an endpoint looks; they look at frames that are whole",
        instead: Instead::Waits,
    },
    Difference {
        judges: &[Wsproto],
        kinds: &[Kind::LargeFrame],
        clause: "10.4: \"MUST impose limits\" to protect itself; it leaves them to its caller",
        instead: Instead::Waits,
    },
    Difference {
        judges: &[Wsproto],
        kinds: &[Kind::LargeMessage],
        clause: "10.4: \"MUST impose limits\" to protect itself; it leaves them to its caller",
        instead: Instead::Tolerates,
    },
    Difference {
        judges: &[Tungstenite, Wsproto, Websockets],
        kinds: &[Kind::ManyFragments],
        clause: "10.4 names sizes only; they do not count fragments",
        instead: Instead::Waits,
    },
];
