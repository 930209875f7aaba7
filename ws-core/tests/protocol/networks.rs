//! Two ends over networks of all kinds, under virtual time: slow, delayed, splitting, pausing, and refusing bytes.

use std::{sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*};
use ws_core::{Cause, CloseCode, Config, Event, Message, Role, State, TimeoutKind};

use crate::support::{
    Pair, ROLES, at, cases, config, other, secs, split_at_close, strategies,
    wire::{self, CLOSE, PONG},
};

/// One direction of a network.
#[derive(Clone, Debug)]
struct Network {
    /// Bandwidth in bytes per second.
    bandwidth: u64,
    delay: Duration,
    cuts: Vec<usize>,
}

impl Network {
    /// Returns the number of bytes that this direction holds: two seconds of its bandwidth, and the bytes in transit
    /// during its delay and the time until new room is noticed.
    ///
    /// Like a socket with `TCP_NOTSENT_LOWAT`, it must not hold more than the peer reads within the keepalive timeout
    /// of 20 seconds. A ping counts as written when the network has accepted it. At most 4 seconds of bytes lie
    /// before it then, and the answer arrives in time: 4 s, delays of 1 s each way, a pause of 3 s on either side,
    /// and 2 s for a segment that is being sent on the way back at 1 KiB/s make 14 s.
    fn capacity(&self) -> usize {
        let millis = 2000 + 2 * self.delay.as_millis() as u64;
        (self.bandwidth * millis / 1000) as usize
    }

    /// Returns the maximum time for this number of bytes, without pauses.
    fn time(&self, bytes: usize) -> Duration {
        secs(bytes as u64 / self.bandwidth + 1) + self.delay
    }
}

fn network() -> impl Strategy<Value = Network> {
    let bandwidth = prop_oneof![1024..4096_u64, 4096..100_000_u64, 100_000..10_000_000_u64];
    (bandwidth, 0..1000_u64, strategies::cuts()).prop_map(|(bandwidth, delay, cuts)| {
        let cuts = cuts.into_iter().map(|size| size.max(50)).collect();
        Network { bandwidth, delay: Duration::from_millis(delay), cuts }
    })
}

/// An event at one end, or on its outgoing link.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Ping,
    /// The driver takes the output into its own buffer.
    Take,
    /// No bytes arrive for this number of milliseconds.
    Pause(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![4 => 0..200_usize, 2 => 200..20_000_usize, 1 => 20_000..100_000_usize];
    prop_oneof![
        4 => size.prop_map(Step::Send),
        1 => Just(Step::Ping),
        2 => Just(Step::Take),
        1 => (0..3000_u64).prop_map(Step::Pause),
        2 => (0..60_000_u64).prop_map(Step::Wait),
    ]
}

/// The way in which the connection is closed.
#[derive(Clone, Copy, Debug)]
enum End {
    Close(Role),
    /// Both ends close, and their Closes cross.
    Both,
}

/// Two ends. Each answers every binary message with a short text.
struct Conversation {
    pair: Pair,
    /// Messages that each end has sent, the client's first.
    sent: [Vec<Message<'static>>; 2],
    received: [Vec<Event<'static>>; 2],
}

impl Conversation {
    fn new(config: Arc<Config>, networks: &[Network; 2]) -> Self {
        let mut pair = Pair::open(config);
        for (role, network) in ROLES.into_iter().zip(networks) {
            let cuts = network.cuts.clone().into_iter().cycle();
            let link = pair.link(role).bandwidth(network.bandwidth).delay(network.delay);
            link.capacity(network.capacity()).pieces(cuts);
        }
        Self { pair, sent: Default::default(), received: Default::default() }
    }

    /// Advances the clock. Both ends answer received messages.
    fn advance(&mut self, time: Duration) {
        let end = self.pair.now() + time;
        while self.pair.now() < end {
            let left = end.saturating_duration_since(self.pair.now());
            self.pair.advance(left.min(Duration::from_millis(500)));
            for role in ROLES {
                for event in self.pair.end(role).take_events() {
                    if let Event::Message(Message::Binary(payload)) = &event {
                        let answer = Message::from(format!("{} bytes", payload.len()));
                        if self.pair.end(role).connection.reply(answer.clone()).is_ok() {
                            self.sent[role as usize].push(answer);
                        }
                    }
                    self.received[role as usize].push(event);
                }
            }
        }
    }

    fn apply(&mut self, role: Role, step: &Step) {
        match step {
            Step::Send(len) => {
                let message = Message::from(vec![*len as u8; *len]);
                self.pair.end(role).connection.send(message.clone()).unwrap();
                self.sent[role as usize].push(message);
            }
            Step::Ping => self.pair.end(role).connection.ping(b"application").unwrap(),
            Step::Take => self.pair.take(role),
            Step::Pause(millis) => {
                let pause = Duration::from_millis(*millis);
                let until = self.pair.now() + pause;
                self.pair.link(role).pause_until(until);
                // Consecutive pauses would act as one pause that is longer than the timeouts.
                self.advance(pause + secs(20));
            }
            Step::Wait(millis) => self.advance(Duration::from_millis(*millis)),
        }
    }

    /// Closes, and waits until both ends are finished.
    fn end(&mut self, end: End) {
        for role in ROLES {
            if matches!(end, End::Both) || matches!(end, End::Close(closer) if closer == role) {
                self.pair.end(role).connection.close(CloseCode::NORMAL_CLOSURE, "done").unwrap();
            }
        }
        for _ in 0..10_000 {
            if ROLES.iter().all(|role| self.pair.end(*role).connection.is_finished()) {
                return;
            }
            self.advance(secs(1));
        }
        panic!("the connection does not end");
    }

    fn messages_of(&self, role: Role) -> Vec<Message<'static>> {
        let events = self.received[role as usize].iter();
        events
            .filter_map(
                |event| if let Event::Message(message) = event { Some(message.clone()) } else { None },
            )
            .collect()
    }
}

/// Creates a configuration with the default keepalive and write timeout. The close timeout has to match the network:
/// an end that has closed waits this long for all output that the other end has queued before its own Close.
fn patient(slowest: Duration) -> Arc<Config> {
    config(|config| {
        config.write_buffer_size = usize::MAX;
        config.close_timeout = secs(20) + slowest;
    })
}

proptest! {
    #![proptest_config(cases(60))]

    // Invariant: over any network, with any messages and any way to close, a peer that reads and answers is never
    // declared dead. All output that was queued before the closing handshake arrives, followed by exactly one Close
    // and only pongs after it.
    #[test]
    fn a_peer_that_reads_and_answers_gets_all_and_is_not_declared_dead(
        networks in (network(), network()),
        steps in vec((strategies::role(), step()), 0..25),
        end in prop_oneof![strategies::role().prop_map(End::Close), Just(End::Both)],
    ) {
        let networks: [Network; 2] = networks.into();
        let queued: usize = steps.iter().map(|(_, step)| if let Step::Send(len) = step { len + 40 } else { 20 }).sum();
        let slowest = networks.iter().map(|network| network.time(queued)).max().unwrap();
        let mut conversation = Conversation::new(patient(slowest), &networks);
        for (role, step) in &steps {
            conversation.apply(*role, step);
            for role in ROLES {
                let connection = &conversation.pair.end(role).connection;
                prop_assert_eq!(connection.state(), State::Open, "{:?}: {:?}", role, connection.close_info());
            }
        }
        conversation.end(end);
        for role in ROLES {
            prop_assert_eq!(conversation.messages_of(other(role)), conversation.sent[role as usize].clone());
            let end = conversation.pair.end(role);
            prop_assert_eq!(end.error(), None);
            let close_info = end.connection.close_info().unwrap();
            prop_assert!(close_info.was_clean, "{:?}: {}", role, close_info);
            prop_assert_eq!(end.connection.buffered(), 0);
            let frames = wire::frames(end.output()).unwrap();
            let (before, behind) = split_at_close(&frames);
            prop_assert_eq!(before.last().map(|frame| frame.opcode), Some(CLOSE));
            // RFC 6455 5.5.2: pings that cross the Close are answered.
            prop_assert!(behind.iter().all(|frame| frame.opcode == PONG));
        }
    }
}

/// Behaviour of a network towards a peer that has vanished.
#[derive(Clone, Copy, Debug)]
enum Behind {
    /// The operating system's buffer has room for all bytes.
    Accepts,
    /// The buffer is full after this number of bytes.
    Refuses(usize),
}

proptest! {
    #![proptest_config(cases(30))]

    // Invariant: a peer that vanishes is declared dead within interval plus timeout, also while this end sends to it
    // continuously. This holds if the network continues to accept bytes, and if it refuses them at some time.
    #[test]
    fn a_peer_that_vanishes_during_a_broadcast_is_declared_dead_in_time(
        role in strategies::role(),
        vanishes_at in 0..60_000_u64,
        size in 1..200_usize,
        behind in prop_oneof![Just(Behind::Accepts), (0..300_000_usize).prop_map(Behind::Refuses)],
        network in network(),
    ) {
        let mut pair = Pair::open(config(|config| config.write_timeout = None));
        let message = vec![7; size];
        // Until it vanishes, the peer reads all its input and answers pings.
        let cuts = network.cuts.clone().into_iter().cycle();
        pair.link(role).delay(network.delay).pieces(cuts);
        let mut now = Duration::ZERO;
        while now < Duration::from_millis(vanishes_at) {
            let _ = pair.end(role).connection.send(&message);
            pair.advance(Duration::from_millis(20));
            pair.end(other(role)).take_events();
            now = pair.now().into();
        }
        prop_assert_eq!(pair.end(role).connection.state(), State::Open);
        let under_way = pair.link(role).under_way();
        if let Behind::Refuses(bytes) = behind {
            pair.link(role).capacity(under_way + bytes);
        }
        // From here on only this end is active.
        let vanished = pair.now();
        let mut next_message = vanished;
        while !pair.end(role).connection.is_finished() {
            let due = pair.end(role).connection.poll_timeout().expect("a deadline");
            let now = due.min(next_message).max(pair.now());
            prop_assert!(now <= vanished + secs(40), "vanished at {}, and still open at {}", vanished, now);
            pair.set_now(now);
            pair.advance_to(role);
            if now >= next_message {
                let _ = pair.end(role).connection.send(&message);
                next_message = now + Duration::from_millis(20);
            }
            pair.write(role, usize::MAX);
        }
        let close_info = pair.end(role).connection.close_info().unwrap();
        prop_assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Keepalive));
    }
}

#[test]
fn with_defaults_a_large_message_and_a_close_cross_a_slow_network() {
    let network = Network { bandwidth: 20_000, delay: Duration::from_millis(100), cuts: vec![1460] };
    for role in ROLES {
        let mut conversation = Conversation::new(config(|_| {}), &[network.clone(), network.clone()]);
        conversation.apply(role, &Step::Send(1 << 20));
        conversation.advance(secs(10));
        conversation.end(End::Close(role));
        assert!(conversation.pair.now() >= at((1 << 20) / 20_000));
        assert_eq!(conversation.messages_of(other(role)), conversation.sent[role as usize]);
        for role in ROLES {
            assert!(conversation.pair.end(role).connection.close_info().unwrap().was_clean);
        }
    }
}
