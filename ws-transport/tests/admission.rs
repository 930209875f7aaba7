//! Admission of clients, under virtual time.

use std::{
    collections::HashMap,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use ws_transport::{Admission, AdmissionCounts, AdmissionLimits, AdmittedClient, RefusalReason};

const SECOND: Duration = Duration::from_secs(1);

fn limits(change: impl FnOnce(&mut AdmissionLimits)) -> AdmissionLimits {
    let mut limits = AdmissionLimits::default();
    change(&mut limits);
    limits
}

fn admission(change: impl FnOnce(&mut AdmissionLimits)) -> Arc<Admission> {
    Arc::new(limits(change).build(1_000_000, None).expect("possible limits"))
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

fn counts(admission: &Admission) -> (usize, usize, usize) {
    let AdmissionCounts { handshakes, open, lingering, .. } = admission.counts();
    (handshakes, open, lingering)
}

#[test]
fn each_stage_is_counted_and_a_place_comes_back_once() {
    let admission = admission(|limits| limits.max_connections = Some(2));
    let now = Instant::now();
    let admit = || admission.admit(None, now);
    let (first, second) = (admit().expect("a place"), admit().expect("a place"));
    assert_eq!(counts(&admission), (2, 0, 0));
    first.open();
    first.open();
    assert_eq!(counts(&admission), (1, 1, 0));
    assert_eq!(admit().expect_err("no place"), RefusalReason::TooManyConnections);
    assert!(first.linger() && first.linger());
    first.open();
    assert_eq!(counts(&admission), (1, 0, 1));
    let third = admit().expect("a lingering client takes no place");
    assert_eq!(admit().expect_err("no place"), RefusalReason::TooManyConnections);
    third.end();
    drop((first, second, third));
    assert_eq!(counts(&admission), (0, 0, 0));
}

#[test]
fn a_client_that_finds_no_room_to_linger_gives_its_place_back() {
    let admission = admission(|limits| limits.max_connections = Some(200));
    let now = Instant::now();
    assert_eq!(admission.max_lingering(), 200);
    let lingering: Vec<_> = (0..200).map(|_| admission.linger().expect("room")).collect();
    assert!(admission.linger().is_none());
    let client = admission.admit(None, now).expect("a place");
    assert!(!client.linger());
    assert_eq!(counts(&admission), (0, 0, 200));
    drop(lingering);
    assert!(!client.linger(), "its end is final");
    drop(client);
    assert_eq!(counts(&admission), (0, 0, 0));
}

#[test]
fn an_ipv6_network_counts_as_one_address_and_a_mapped_one_as_ipv4() {
    for (prefix, same, other) in [
        (64, ["2001:db8:0:1::1", "2001:db8:0:1:ffff::"], "2001:db8:0:2::1"),
        (48, ["2001:db8:0:1::1", "2001:db8:0:2::1"], "2001:db8:1::1"),
        (128, ["2001:db8::1", "2001:db8::1"], "2001:db8::2"),
        (1, ["2001:db8::1", "7fff::1"], "8000::1"),
        (64, ["192.0.2.1", "::ffff:192.0.2.1"], "::ffff:192.0.2.2"),
    ] {
        let admission = admission(|limits| {
            limits.max_connections_per_address = Some(1);
            limits.ipv6_prefix = prefix;
        });
        let now = Instant::now();
        let admit = |text| admission.admit(address(text), now);
        let _first = admit(same[0]).expect("the first");
        assert_eq!(admit(same[1]).expect_err("the same address"), RefusalReason::TooManyFromAddress);
        let _other = admit(other).expect("another address");
        assert_eq!(admission.connections_from(same[1].parse().expect("an address")), 1);
    }
}

#[test]
fn clients_without_an_address_have_no_limits_per_address() {
    let admission = admission(|limits| {
        limits.max_connections_per_address = Some(1);
        limits.max_handshake_rate_per_address = Some(1);
    });
    let now = Instant::now();
    let _clients = [(); 10].map(|()| admission.admit(None, now).expect("a place"));
    assert_eq!(admission.tracked_addresses(), 0);
}

#[test]
fn a_rate_allows_those_of_one_second_at_once_and_then_one_by_one() {
    let admission = admission(|limits| limits.max_handshake_rate_per_address = Some(4));
    let began = Instant::now();
    let admit = |text, millis| admission.admit(address(text), began + Duration::from_millis(millis));
    for _ in 0..4 {
        drop(admit("192.0.2.1", 0).expect("within the burst"));
    }
    let expected =
        [(0, false), (249, false), (250, true), (251, false), (500, true), (1000, true), (1000, true)];
    for (millis, is_admitted) in expected {
        assert_eq!(admit("192.0.2.1", millis).is_ok(), is_admitted, "after {millis} ms");
    }
    assert_eq!(admit("192.0.2.1", 1000).expect_err("too many"), RefusalReason::HandshakeRate);
    drop(admit("192.0.2.2", 1000).expect("another address has its own bucket"));
    // A longer pause does not allow more than the burst.
    assert_eq!((0..10).filter(|_| admit("192.0.2.1", 60_000).is_ok()).count(), 4);
}

#[test]
fn addresses_without_connections_are_forgotten() {
    let visitor = |number: u32| Some(IpAddr::V4(Ipv4Addr::from_bits(number)));
    let began = Instant::now();
    let per_address = admission(|limits| limits.max_connections_per_address = Some(5));
    for number in 0..10_000 {
        drop(per_address.admit(visitor(number), began).expect("a place"));
        assert_eq!(per_address.tracked_addresses(), 0);
    }
    let rate = admission(|limits| limits.max_handshake_rate_per_address = Some(5));
    let stays = rate.admit(visitor(u32::MAX), began).expect("a place");
    for number in 0..100_000 {
        // 1,000 per second: those of the last 0.2 s still have a bucket that is not full.
        let now = began + Duration::from_millis(number.into());
        drop(rate.admit(visitor(number), now).expect("a place"));
        assert!(rate.tracked_addresses() <= 2 * 202, "{}", rate.tracked_addresses());
    }
    let now = began + SECOND * 200;
    let last = rate.admit(visitor(1), now).expect("a place");
    assert_eq!(rate.tracked_addresses(), 2);
    drop((stays, last));
    drop(rate.admit(visitor(2), now + SECOND * 20).expect("a place"));
    assert_eq!(rate.tracked_addresses(), 1);
}

#[test]
fn the_default_depends_on_the_descriptors_and_more_are_refused() {
    let default = |default, descriptors| {
        AdmissionLimits::default().build(default, descriptors).expect("a default").max_connections()
    };
    assert_eq!(default(4096, None), 4096);
    assert_eq!(default(4096, Some(1 << 20)), 4096);
    assert_eq!(default(4096, Some(1024)), 1024 - 128);
    assert_eq!(default(4096, Some(10)), 1);
    let explicit = |max| limits(|limits| limits.max_connections = Some(max)).build(4096, Some(1024));
    let admission = explicit(960).expect("possible");
    assert_eq!((admission.max_connections(), admission.max_lingering()), (960, 64));
    assert_eq!(explicit(0).expect("possible").max_connections(), 0);
    let error = explicit(961).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for part in ["`max_connections` is 961", "only 1024 file descriptors", "960 or less", "ulimit -n"] {
        assert!(error.to_string().contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn impossible_limits_are_refused() {
    let per_address = |max| limits(|limits| limits.max_connections_per_address = max);
    let handshakes = |max| limits(|limits| limits.max_handshakes = max);
    let rate = |max| limits(|limits| limits.max_handshake_rate_per_address = max);
    let prefix = |bits| limits(|limits| limits.ipv6_prefix = bits);
    let of = |max, mut limits: AdmissionLimits| {
        limits.max_connections = Some(max);
        limits
    };
    let refused = [
        (prefix(0), "`ipv6_prefix` is 0"),
        (prefix(129), "`ipv6_prefix` is 129"),
        (handshakes(Some(0)), "`max_handshakes` is 0"),
        (per_address(Some(0)), "`max_connections_per_address` is 0"),
        (rate(Some(0)), "`max_handshake_rate_per_address` is 0"),
        (of(5, handshakes(Some(6))), "`max_handshakes` is 6"),
        (of(5, per_address(Some(6))), "`max_connections_per_address` is 6"),
        (of(0, handshakes(Some(1))), "no effect"),
    ];
    for (limits, text) in refused {
        let error = limits.build(100, None).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(text), "{error}");
    }
}

/// One event of the property. Numbers select an address or a client.
#[derive(Clone, Copy, Debug)]
enum Event {
    Wait(u64),
    Connect(usize),
    Open(usize),
    Linger(usize),
    End(usize),
    Drop(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0_u64..400).prop_map(Event::Wait),
        6 => (0_usize..6).prop_map(Event::Connect),
        2 => any::<usize>().prop_map(Event::Open),
        2 => any::<usize>().prop_map(Event::Linger),
        1 => any::<usize>().prop_map(Event::End),
        2 => any::<usize>().prop_map(Event::Drop),
    ]
}

/// The addresses of the property, and the number of the network that each belongs to.
fn peers() -> [(Option<IpAddr>, Option<u8>); 6] {
    let v6 = |bits| Some(IpAddr::V6(Ipv6Addr::from_bits(bits)));
    [
        (None, None),
        (address("192.0.2.1"), Some(1)),
        (address("::ffff:192.0.2.1"), Some(1)),
        (address("192.0.2.2"), Some(2)),
        (v6(0x2001_0db8_0000_0001 << 64), Some(3)),
        (v6((0x2001_0db8_0000_0001 << 64) + 77), Some(3)),
    ]
}

/// A naive model: lists of clients and of all handshakes so far, which are counted anew for each question.
#[derive(Default)]
struct Model {
    /// The network and the stage of each client: handshake, open, lingering or ended.
    clients: Vec<(Option<u8>, char)>,
    /// The times of the admitted handshakes of each network, in nanoseconds.
    handshakes: HashMap<u8, Vec<u64>>,
}

impl Model {
    fn number(&self, stages: &str) -> usize {
        self.clients.iter().filter(|(_, stage)| stages.contains(*stage)).count()
    }

    fn admit(&self, limits: &AdmissionLimits, network: Option<u8>, now: u64) -> Result<(), RefusalReason> {
        if limits.max_connections.is_some_and(|max| self.number("ho") >= max) {
            return Err(RefusalReason::TooManyConnections);
        }
        if limits.max_handshakes.is_some_and(|max| self.number("h") >= max) {
            return Err(RefusalReason::TooManyHandshakes);
        }
        let Some(network) = network else { return Ok(()) };
        let from = |&&(it, stage): &&(Option<u8>, char)| it == Some(network) && "ho".contains(stage);
        let connections = self.clients.iter().filter(from).count();
        if limits.max_connections_per_address.is_some_and(|max| connections >= max) {
            return Err(RefusalReason::TooManyFromAddress);
        }
        let Some(rate) = limits.max_handshake_rate_per_address else { return Ok(()) };
        // A bucket that leaks: each handshake adds its share of a second, which flows off with the time.
        let share = 1_000_000_000 / u64::from(rate);
        let (mut level, mut at) = (0_u64, 0);
        for &time in self.handshakes.get(&network).into_iter().flatten() {
            level = level.saturating_sub(time - at) + share;
            at = time;
        }
        level = level.saturating_sub(now - at) + share;
        if level > share * u64::from(rate) { Err(RefusalReason::HandshakeRate) } else { Ok(()) }
    }
}

fn some_limits() -> impl Strategy<Value = AdmissionLimits> {
    let most = |max: usize| proptest::option::of(1..=max);
    (1_usize..=8, most(3), most(4), proptest::option::of(1_u32..=7)).prop_map(
        |(connections, per_address, handshakes, rate)| {
            limits(|limits| {
                limits.max_connections = Some(connections);
                limits.max_connections_per_address = per_address.map(|max| max.min(connections));
                limits.max_handshakes = handshakes.map(|max| max.min(connections));
                limits.max_handshake_rate_per_address = rate;
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant: every decision and every count is that of the naive model, and no count is left at the end.
    #[test]
    fn decisions_and_counts_are_those_of_a_naive_model(
        limits in some_limits(),
        events in proptest::collection::vec(event(), 0..120),
    ) {
        let admission = Arc::new(limits.build(1, None).expect("possible limits"));
        let mut model = Model::default();
        let mut clients: Vec<Option<AdmittedClient>> = Vec::new();
        let (began, mut now) = (Instant::now(), 0);
        for event in events {
            let (selected, stage) = match event {
                Event::Wait(millis) => {
                    now += millis * 1_000_000;
                    continue;
                }
                Event::Connect(peer) => {
                    let (peer, network) = peers()[peer];
                    let expected = model.admit(&limits, network, now);
                    let admitted = admission.admit(peer, began + Duration::from_nanos(now));
                    prop_assert_eq!(admitted.as_ref().map(drop).map_err(|reason| *reason), expected);
                    if let Ok(client) = admitted {
                        clients.push(Some(client));
                        model.clients.push((network, 'h'));
                        if let Some(network) = network {
                            model.handshakes.entry(network).or_default().push(now);
                        }
                    }
                    continue;
                }
                Event::Open(selected) => (selected, 'o'),
                Event::Linger(selected) => (selected, 'l'),
                Event::End(selected) => (selected, 'e'),
                Event::Drop(selected) => (selected, 'd'),
            };
            if clients.is_empty() {
                continue;
            }
            let selected = selected % clients.len();
            let Some(client) = &clients[selected] else { continue };
            let known = &mut model.clients[selected].1;
            match stage {
                'o' => client.open(),
                'l' => drop(client.linger()),
                'e' => client.end(),
                _ => clients[selected] = None,
            }
            *known = match (*known, stage) {
                ('h', 'o') => 'o',
                ('h' | 'o', 'l') => 'l',
                (_, 'e' | 'd') => 'e',
                (known, _) => known,
            };
            prop_assert_eq!(counts(&admission), (model.number("h"), model.number("o"), model.number("l")));
        }
        drop(clients);
        prop_assert_eq!(counts(&admission), (0, 0, 0));
        for (peer, _) in peers() {
            prop_assert_eq!(peer.map_or(0, |peer| admission.connections_from(peer)), 0);
        }
    }
}
