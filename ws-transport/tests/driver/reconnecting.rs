//! A client that connects again and again to a numbered feed, over TLS and through an HTTP proxy, under virtual time. The server
//! restarts at random moments: while the proxy answers, during both handshakes, and within messages.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ws_core::{
    Config, Event, HandshakeConfig, Message, OriginPolicy, ReconnectHint, ReconnectPolicy, ReconnectSchedule,
    Timestamp, Transmit,
    server::{Accept, Handshake},
    testing::drained,
};
use ws_transport::{
    ClientOpening, ClientSettings, Connector, Driver,
    tls::{ClientTls, ServerTls, TlsSession},
};

use crate::support::{End, Outcome};

const TICK: Duration = Duration::from_millis(10);
/// Number of bytes that the network carries in a tick, in each direction.
const MOST_BYTES: u64 = 400;

/// Random numbers by xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The client's end of a connection.
enum Client {
    Opening(Box<ClientOpening>),
    Open(Box<End>),
}

impl Client {
    fn connect() -> Self {
        let mut settings = ClientSettings::new("wss://localhost:9001/");
        settings.tls = ClientTls::new().danger_accept_any_certificate().into();
        settings.set_proxy("http://proxy.test:3128");
        Self::Opening(Box::new(Connector::new(settings).unwrap().open().unwrap()))
    }

    /// Receives bytes, and returns those to be written. Confirms the number `seen` when the connection is open.
    fn step(&mut self, received: &[u8], seen: u64, now: Timestamp) -> Vec<u8> {
        match self {
            Self::Opening(opening) => {
                let opened = opening.receive(received, now).unwrap();
                let output = drained(opening.transmit());
                if let Some(mut opened) = opened {
                    let mut end = End::of(Driver::new(opened.connection, opened.tls));
                    end.receive(&mut opened.rest);
                    end.driver.send(Message::from(seen.to_string())).unwrap();
                    *self = Self::Open(Box::new(end));
                }
                output
            }
            Self::Open(end) => step(end, received, now),
        }
    }

    fn numbers(&mut self) -> Vec<u64> {
        match self {
            Self::Opening(_) => Vec::new(),
            Self::Open(end) => end.events.drain(..).map(|event| number(&event)).collect(),
        }
    }
}

/// The proxy and the server behind it.
enum Server {
    Proxy(Vec<u8>, Box<TlsSession>),
    Handshake(Box<TlsSession>, Box<Handshake>),
    Open(Box<End>, Option<u64>),
    Changing,
}

impl Server {
    fn step(&mut self, received: &[u8], published: u64, now: Timestamp) -> Vec<u8> {
        match self {
            Self::Proxy(head, _) => {
                head.extend_from_slice(received);
                if !head.ends_with(b"\r\n\r\n") {
                    return Vec::new();
                }
                assert!(head.starts_with(b"CONNECT localhost:9001 HTTP/1.1\r\n"));
                let Self::Proxy(_, tls) = std::mem::replace(self, Self::Changing) else { unreachable!() };
                let handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
                *self = Self::Handshake(tls, Box::new(handshake));
                b"HTTP/1.1 200 OK\r\n\r\n".to_vec()
            }
            Self::Handshake(tls, handshake) => {
                let (mut plain, mut output) = (Vec::new(), Transmit::default());
                tls.decrypt(received, &mut plain).unwrap();
                tls.take_output(&mut output);
                if let Some(request) = handshake.receive(&mut &mut plain[..]).unwrap() {
                    let upgrade = request.upgrade(&OriginPolicy::Any).unwrap();
                    let connection =
                        upgrade.accept(&Accept::new(), Arc::new(Config::default()), now).unwrap();
                    let Self::Handshake(tls, _) = std::mem::replace(self, Self::Changing) else {
                        unreachable!()
                    };
                    let driver = Driver::new(connection, Some(tls));
                    *self = Self::Open(Box::new(End::of(driver)), None);
                }
                drained(&mut output)
            }
            Self::Open(end, sent) => {
                *sent = end.events.drain(..).map(|event| number(&event)).next_back().or(*sent);
                while let Some(next) = sent.map(|sent| sent + 1).filter(|&next| next <= published) {
                    if end.driver.send(Message::from(next.to_string())).is_err() {
                        break;
                    }
                    *sent = Some(next);
                }
                step(end, received, now)
            }
            Self::Changing => unreachable!(),
        }
    }
}

struct TlsServer(Arc<rustls::ServerConfig>);

impl TlsServer {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let chain = parameters.self_signed(&key).unwrap().pem();
        Self(ServerTls::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap().build().unwrap())
    }

    fn session(&self) -> TlsSession {
        ServerTls::session(&self.0).unwrap()
    }
}

fn step(end: &mut End, received: &[u8], now: Timestamp) -> Vec<u8> {
    end.now = now;
    end.inbox.extend(received);
    assert!(matches!(end.turn(), Outcome::Waits { .. }));
    std::mem::take(&mut end.outbox)
}

fn number(event: &Event<'_>) -> u64 {
    let Event::Message(Message::Text(text)) = event else { panic!("{event:?}") };
    text.parse().unwrap()
}

/// The client over all its connections.
struct Market {
    tls: TlsServer,
    schedule: ReconnectSchedule,
    random: Random,
    now: Timestamp,
    published: u64,
    seen: u64,
    /// Number of connections that broke before they were open, and while they were.
    broken: [u32; 2],
}

impl Market {
    /// Runs a connection for this number of ticks, or until the client has all numbers.
    fn run(&mut self, ticks: Option<u64>) {
        let (mut client, mut server) =
            (Client::connect(), Server::Proxy(Vec::new(), Box::new(self.tls.session())));
        let (mut up, mut down) = (VecDeque::new(), VecDeque::new());
        for tick in 0_u64.. {
            if ticks.is_some_and(|ticks| tick >= ticks) {
                break;
            }
            self.now = self.now + TICK;
            if ticks.is_some() || tick < 100 {
                self.published += 1;
            } else if self.seen == self.published {
                break;
            }
            let now = Timestamp::ZERO + TICK * tick as u32;
            let arrived = self.carried(&mut down);
            up.extend(client.step(&arrived, self.seen, now));
            let arrived = self.carried(&mut up);
            down.extend(server.step(&arrived, self.published, now));
            for number in client.numbers() {
                assert_eq!(number, self.seen + 1);
                self.seen = number;
            }
            assert!(tick < 20_000, "the client falls behind: {} of {}", self.seen, self.published);
        }
        match client {
            Client::Opening(mut opening) => {
                assert!(opening.receive_eof().is_transient());
                self.broken[0] += 1;
            }
            Client::Open(_) => self.broken[1] += 1,
        }
    }

    /// Takes the bytes that arrive in this tick.
    fn carried(&mut self, network: &mut VecDeque<u8>) -> Vec<u8> {
        let count = self.random.below(MOST_BYTES) as usize;
        network.drain(..count.min(network.len())).collect()
    }

    /// Waits until the server is up again.
    fn wait(&mut self) {
        let up = self.now + TICK * self.random.below(300) as u32;
        loop {
            self.now = self.schedule.retry_at(ReconnectHint::None, self.now).unwrap();
            if self.now >= up {
                return self.schedule.connected(self.now);
            }
        }
    }
}

#[test]
fn no_number_is_missed_in_fifty_restarts_over_tls_behind_a_proxy() {
    let mut market = Market {
        tls: TlsServer::new(),
        schedule: ReconnectSchedule::new(ReconnectPolicy::default(), [7; 32]),
        random: Random(0x9E37_79B9_7F4A_7C15),
        now: Timestamp::ZERO,
        published: 0,
        seen: 0,
        broken: [0, 0],
    };
    for _ in 0..50 {
        let ticks = market.random.below(200);
        market.run(Some(ticks));
        market.wait();
    }
    assert!(market.broken.iter().all(|&count| count >= 3), "{:?}", market.broken);
    market.run(None);
    assert_eq!(market.seen, market.published);
    assert!(market.published > 3000, "{}", market.published);
}
