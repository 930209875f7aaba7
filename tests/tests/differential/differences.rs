//! The known differences between other implementations and ours.

use crate::{
    conversation::{Case, Kind},
    judges::{
        End,
        Judge::{self, Tungstenite, Websockets, Ws, Wslay, Wsproto},
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
    /// It fails with another code. 1005 stands for a Close without a code.
    Fails(u16),
    /// It treats the input as a Close with this code, or without a code.
    Closes(Option<u16>),
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
            Instead::Closes(code) => verdict.end = End::Closed(code),
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
        judges: &[Tungstenite, Websockets, Ws],
        kinds: &[Kind::LongLength],
        clause: "5.2: \"in all cases, the minimal number of bytes MUST be used to encode the length\"; they \
                 take any",
        instead: Instead::Tolerates,
    },
    Difference {
        judges: &[Tungstenite, Websockets, Ws],
        kinds: &[Kind::HighestBit],
        clause: "5.2: \"the most significant bit MUST be 0\"; to them it is a large frame and no broken rule",
        instead: Instead::Fails(1009),
    },
    Difference {
        judges: &[Tungstenite],
        kinds: &[Kind::ForbiddenCode, Kind::UnregisteredCode],
        clause: "7.4: such codes are not used; it answers with 1002 too, but tells its application of a Close \
                 with 1002 that the peer never sent, and not of a mistake",
        instead: Instead::Closes(Some(1002)),
    },
    Difference {
        judges: &[Tungstenite],
        kinds: &[Kind::LastClose],
        clause: "7.4.2: codes below 3000 are for \"future revisions\"; 1014 is not on its list, and it does as \
                 with every other",
        instead: Instead::Closes(Some(1002)),
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
        judges: &[Websockets, Ws],
        kinds: &[Kind::NotUtf8InFragment],
        clause: "8.1 leaves open when an endpoint looks; they look at a text when it is whole, and answer \
                 pings until then",
        instead: Instead::Later,
    },
    Difference {
        judges: &[Tungstenite, Websockets, Ws],
        kinds: &[Kind::NotUtf8InPart],
        clause: "8.1 leaves open when an endpoint looks; they look at frames that are whole",
        instead: Instead::Waits,
    },
    Difference {
        judges: &[Wsproto],
        kinds: &[Kind::LargeHeader, Kind::LargeFrame],
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
        judges: &[Wslay],
        kinds: &[Kind::LongLength, Kind::HighestBit, Kind::LongControl, Kind::ControlInFragments],
        clause: "7.1.7: an endpoint that fails a connection \"SHOULD send a Close frame with an appropriate status \
                 code\"; it refuses these frames too, with a Close without a code",
        instead: Instead::Fails(1005),
    },
    Difference {
        judges: &[Wslay],
        kinds: &[Kind::CloseOfOneByte],
        clause: "5.5.1: \"If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer\"; \
                 it takes one byte for a Close without a code",
        instead: Instead::Closes(None),
    },
    Difference {
        judges: &[Wslay],
        kinds: &[Kind::LaterClose, Kind::LastClose],
        clause: "7.4.2: codes below 3000 are for \"future revisions\"; 1012 to 1014 are not on its list",
        instead: Instead::Fails(1002),
    },
    Difference {
        judges: &[Wslay],
        kinds: &[Kind::LargeHeader],
        clause: "10.4 leaves open when an endpoint looks; it checks the length when the first byte of the payload \
                 arrives",
        instead: Instead::Waits,
    },
    Difference {
        judges: &[Tungstenite, Wsproto, Websockets, Ws, Wslay],
        kinds: &[Kind::ManyFragments],
        clause: "10.4 names sizes only; they do not count fragments",
        instead: Instead::Waits,
    },
];
