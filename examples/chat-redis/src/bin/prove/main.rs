//! Checks the guarantees of the README with three nodes, a proxy and Redis, all started by `prove.sh`. Prints
//! figures, and fails if a guarantee does not hold.
//!
//! `prove PROXY REDIS-URL REDIS-PID NODE NODE-PID NODE NODE-PID NODE NODE-PID`, with addresses such as
//! `127.0.0.1:9001`.

mod client;

use std::{
    cell::Cell,
    collections::BTreeSet,
    env,
    error::Error,
    process,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use rustix::process::{Pid, Signal, kill_process};
use smol::{Timer, future};
use ws_chat::fold;
use ws_smol::HandshakeError;

use client::{Client, ClientOptions, until};

type Proof = Result<(), Box<dyn Error>>;

/// Timeout for each step, with a margin for a busy machine.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout for steps that involve only Redis and two nodes.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two messages of a client that keeps talking. During an absence it sends about as many messages as a
/// busy room has, and fewer than the nodes keep.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(25);

fn main() {
    if let Err(error) = smol::block_on(run()) {
        eprintln!("FAILED: {error}");
        process::exit(1);
    }
}

async fn run() -> Proof {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [proxy, redis, redis_pid, node1, pid1, node2, pid2, node3, pid3] = &arguments[..] else {
        return Err("start this program with examples/chat-redis/prove.sh".into());
    };
    let url = |address: &String| format!("ws://{address}/lobby");
    let nodes = [(node1, pid1), (node2, pid2), (node3, pid3)];
    let mut setting = Setting {
        proxy: url(proxy),
        redis: redis.clone(),
        redis_pid: pid(redis_pid)?,
        nodes: nodes.map(|(address, _)| url(address)).to_vec(),
        pids: nodes.into_iter().map(|(_, number)| pid(number)).collect::<Result<_, _>>()?,
        clients: Vec::new(),
        sent: Cell::new(0),
        refused: Cell::new(0),
    };
    setting.all_clients_receive_all_messages().await?;
    setting.a_node_is_killed().await?;
    setting.redis_goes_away_and_comes_back().await?;
    setting.too_much_is_refused().await?;
    setting.names_are_unique().await?;
    setting.origins_are_checked().await?;
    setting.a_node_is_paused().await?;
    setting.redis_loses_its_data().await?;
    setting.a_node_stops().await?;
    let deliveries = setting.clients.iter().map(|client| client.seen().lines.len()).sum::<usize>();
    println!("total: {} messages, {deliveries} deliveries", setting.sent.get());
    Ok(())
}

fn pid(number: &str) -> Result<Pid, Box<dyn Error>> {
    Ok(Pid::from_raw(number.parse()?).ok_or("0 is not a process id")?)
}

struct Setting {
    proxy: String,
    redis: String,
    redis_pid: Pid,
    nodes: Vec<String>,
    pids: Vec<Pid>,
    /// The clients in the lobby. They must receive all messages.
    clients: Vec<Client>,
    /// Number of messages sent to the lobby.
    sent: Cell<usize>,
    /// Number of messages that were refused.
    refused: Cell<usize>,
}

impl Setting {
    const DIRECT: usize = 12;
    const PROXIED: usize = 9;
    const EACH: usize = 50;

    /// Checks that a message sent through any node reaches every client on all nodes, in one order.
    async fn all_clients_receive_all_messages(&mut self) -> Proof {
        for number in 0..Self::DIRECT + Self::PROXIED {
            let is_direct = number < Self::DIRECT;
            let url = if is_direct { &self.nodes[number % 3] } else { &self.proxy };
            let nick = format!("{}{number}", if is_direct { "direct" } else { "proxied" });
            let key = format!("key of {nick}");
            let then = Some(&*self.proxy);
            self.clients.push(Client::new(&ClientOptions { nick: &nick, key: &key, url, then }));
        }
        self.people_agree("all clients have joined", &[]).await?;

        let begin = Instant::now();
        for number in 0..Self::EACH {
            for client in &self.clients[..Self::DIRECT] {
                self.say(client, number);
            }
        }
        self.all_are_delivered().await?;
        let time = begin.elapsed();
        let (messages, clients) = (self.sent.get(), self.clients.len());
        println!(
            "3 nodes, {clients} clients: {messages} messages, {} deliveries in {time:.2?}",
            messages * clients
        );
        Ok(())
    }

    /// Checks the death of a node: its clients reconnect through the proxy and miss no message. A client that does
    /// not reconnect has left.
    async fn a_node_is_killed(&self) -> Proof {
        let ghost =
            Client::new(&ClientOptions { nick: "ghost", key: "boo", url: &self.nodes[0], then: None });
        self.people_agree("the ghost has joined", &["ghost"]).await?;
        let welcomes = || self.clients.iter().map(|client| client.seen().welcomes).sum::<usize>();
        let ends = || self.clients.iter().map(|client| client.seen().ends.len()).sum::<usize>();
        let (welcomed, ended) = (welcomes(), ends());

        let begin = Instant::now();
        kill_process(self.pids[0], Signal::KILL)?;
        let recovered = until("the clients of the killed node have reconnected", STEP_TIMEOUT, || {
            ends() > ended && welcomes() - welcomed == ends() - ended && ghost.seen().ends.len() == 1
        });
        let (recovery, posted) = self.talk_while(recovered).await?;
        self.all_are_delivered().await?;
        println!(
            "a node was killed: {} clients reconnected in {recovery:.2?}; {posted} messages meanwhile, none missed",
            welcomes() - welcomed
        );

        self.people_agree("the ghost has left", &[]).await?;
        let gone = begin.elapsed();
        let times = |client: &Client| client.seen().left.iter().filter(|nick| *nick == "ghost").count();
        // A client that was disconnected at that moment learns it from the list of members instead.
        if let Some(client) = self.clients.iter().find(|client| times(client) > 1) {
            return Err(format!("{} saw the ghost leave {} times", client.nick, times(client)).into());
        }
        if times(&self.clients[1]) != 1 {
            return Err("a client that stayed did not see the ghost leave".into());
        }
        println!("the client that did not reconnect left once, on all nodes, {gone:.2?} after the kill");
        Ok(())
    }

    /// Checks that failures of the connections to Redis neither lose nor duplicate messages.
    async fn redis_goes_away_and_comes_back(&self) -> Proof {
        let begin = Instant::now();
        let kills = async {
            let mut connection = self.connect_to_redis().await?;
            for _ in 0..5 {
                let mut kill = redis::cmd("CLIENT");
                kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
                let killed: usize = kill.query_async(&mut connection).await?;
                if killed == 0 {
                    return Err("there was no connection to Redis to kill".to_owned().into());
                }
                // Long enough for the nodes to reconnect before the next kill.
                Timer::after(Duration::from_millis(400)).await;
            }
            Ok::<_, Box<dyn Error>>(())
        };
        let ((), posted) = self.talk_while(kills).await?;
        let time = self.all_are_delivered().await?;
        println!(
            "connections to Redis killed 5 times in {:.2?}: {posted} messages meanwhile, all delivered {time:.2?} after the last",
            begin.elapsed()
        );

        let outage = Duration::from_secs(4); // longer than the nodes wait for an answer
        let stop = async {
            kill_process(self.redis_pid, Signal::STOP)?;
            Timer::after(outage).await;
            kill_process(self.redis_pid, Signal::CONT)?;
            Ok::<_, Box<dyn Error>>(())
        };
        let ((), posted) = self.talk_while(stop).await?;
        let time = self.all_are_delivered().await?;
        println!(
            "Redis stopped for {outage:?}: {posted} messages meanwhile, all delivered {time:.2?} after it continued"
        );
        Ok(())
    }

    /// Checks that, while Redis is unreachable, messages beyond the capacity of the queue are refused and all others
    /// are delivered.
    async fn too_much_is_refused(&self) -> Proof {
        const FLOOD: usize = 1500;
        kill_process(self.redis_pid, Signal::STOP)?;
        let client = &self.clients[1];
        let before = self.sent.get();
        (0..FLOOD).for_each(|number| self.say(client, number));
        let refused = || client.seen().refused.iter().filter(|reason| *reason == "unavailable").count();
        let first = until("a message is refused", STEP_TIMEOUT, || refused() > 0).await;
        kill_process(self.redis_pid, Signal::CONT)?;
        first?;
        let delivered = || client.seen().lines.len() - before;
        until("each message is delivered or refused", STEP_TIMEOUT, || delivered() + refused() == FLOOD)
            .await?;
        self.sent.set(before + delivered());
        self.refused.set(refused());
        self.all_are_delivered().await?;
        println!(
            "of {FLOOD} messages while Redis was stopped, {} were refused and {} delivered",
            refused(),
            delivered()
        );
        Ok(())
    }

    /// Checks that a name belongs to one client on all nodes, and that the client can move to another node with it.
    async fn names_are_unique(&self) -> Proof {
        let rooms = [1, 2].map(|node| self.nodes[node].replace("lobby", "garden"));
        let join =
            |nick, key, room: usize| Client::new(&ClientOptions { nick, key, url: &rooms[room], then: None });
        let first = join("Ann", "secret", 0);
        until("Ann has joined", SHORT_TIMEOUT, || first.seen().welcomes == 1).await?;
        let other = join("ANN", "guess", 1);
        until("another Ann is refused", SHORT_TIMEOUT, || other.seen().refused == ["nick_taken"]).await?;
        let keyless = join("ann", "", 1);
        until("an Ann without a key is refused", SHORT_TIMEOUT, || keyless.seen().refused == ["nick_taken"])
            .await?;
        let second = join("Ann", "secret", 1);
        let time = until("Ann moves to another node", SHORT_TIMEOUT, || second.seen().welcomes == 1).await?;
        until("her old connection is closed", SHORT_TIMEOUT, || first.seen().ends == [Some(4000)]).await?;
        first.say("I am not here".into());
        second.say("I am here".into());
        until("her message is delivered", SHORT_TIMEOUT, || second.seen().lines.len() == 1).await?;
        if !second.seen().left.is_empty() || self.clients[1].seen().people.contains("ann") {
            return Err("Ann's move was reported as a departure, or in another room".into());
        }
        println!("a name taken on one node was refused on another; its owner moved within {time:.2?}");
        Ok(())
    }

    /// Checks that a node restores its members after a pause in which the others considered it dead.
    async fn a_node_is_paused(&self) -> Proof {
        let begin = Instant::now();
        kill_process(self.pids[2], Signal::STOP)?;
        let missing = || !self.clients[1].seen().people.contains(&fold(&self.clients[2].nick));
        let missed = until("the members on the paused node have left", STEP_TIMEOUT, missing).await;
        let slept = begin.elapsed();
        kill_process(self.pids[2], Signal::CONT)?;
        missed?;
        let time = self.people_agree("the members on the paused node are back", &[]).await?;
        self.clients.iter().for_each(|client| self.say(client, 0));
        self.all_are_delivered().await?;
        println!(
            "a node was paused for {slept:.2?}: its members had left, and were back {time:.2?} after it continued"
        );
        Ok(())
    }

    /// Checks that the nodes restore the members when Redis loses its data.
    async fn redis_loses_its_data(&self) -> Proof {
        let mut connection = self.connect_to_redis().await?;
        let _: () = redis::cmd("FLUSHALL").query_async(&mut connection).await?;
        let people = redis::cmd("HLEN").arg("{ws-chat}:people").take();
        let begin = Instant::now();
        while people.query_async::<usize>(&mut connection).await? < self.clients.len() {
            if begin.elapsed() > STEP_TIMEOUT {
                return Err("the nodes did not restore the members in Redis".into());
            }
            Timer::after(MESSAGE_INTERVAL).await;
        }
        let time = begin.elapsed();
        self.people_agree("all clients see all members again", &[]).await?;
        self.clients.iter().for_each(|client| self.say(client, 0));
        self.all_are_delivered().await?;
        println!("Redis lost its data: the nodes had restored the members after {time:.2?}");
        Ok(())
    }

    /// Checks that pages from the proxy's address may connect through it, and pages from other hosts may not.
    async fn origins_are_checked(&self) -> Proof {
        let connect =
            async |origin: &str| ws_smol::Client::new(&self.proxy).header("Origin", origin).connect().await;
        let own = self.proxy.replace("ws://", "http://").replace("/lobby", "");
        connect(&own).await.map_err(|error| format!("a page of {own}: {error}"))?;
        match connect("http://elsewhere.example").await {
            Err(ws_smol::Error::Handshake(HandshakeError::Refused(response))) if response.status() == 403 => {
            }
            Err(error) => return Err(format!("a page of another host was refused with {error}").into()),
            Ok(_) => return Err("a page of another host could connect".into()),
        }
        println!("a page from the proxy's address could connect, one from elsewhere could not");
        Ok(())
    }

    /// Checks that a stopped node closes its connections with 1001, and that the clients reconnect to another node.
    async fn a_node_stops(&self) -> Proof {
        kill_process(self.pids[1], Signal::INT)?;
        let client = &self.clients[1];
        until("the close code is 1001", STEP_TIMEOUT, || client.seen().ends.last() == Some(&Some(1001)))
            .await?;
        self.people_agree("all are on the last node", &[]).await?;
        self.say(client, 0);
        self.all_are_delivered().await?;
        println!("a node was stopped: close code 1001, and its clients reconnected to the last node");
        Ok(())
    }

    async fn connect_to_redis(&self) -> redis::RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(STEP_TIMEOUT))
            .set_response_timeout(Some(STEP_TIMEOUT));
        redis::Client::open(&*self.redis)?.get_multiplexed_async_connection_with_config(&config).await
    }

    fn say(&self, client: &Client, number: usize) {
        client.say(format!("{number}"));
        self.sent.set(self.sent.get() + 1);
    }

    /// Runs `action` while two clients on the surviving nodes keep sending, and sends a few more messages afterwards.
    async fn talk_while<T, E: Into<Box<dyn Error>>>(
        &self,
        action: impl Future<Output = Result<T, E>>,
    ) -> Result<(T, usize), Box<dyn Error>> {
        let before = self.sent.get();
        let talk = async {
            for number in 0.. {
                self.say(&self.clients[1], number);
                self.say(&self.clients[2], number);
                Timer::after(MESSAGE_INTERVAL).await;
            }
            future::pending().await
        };
        let result = future::or(async { action.await.map_err(Into::into) }, talk).await?;
        (0..20).for_each(|number| self.say(&self.clients[2], number));
        Ok((result, self.sent.get() - before))
    }

    /// Waits until all clients have received all messages once, in the same order and in the order of each sender.
    /// Returns the time that it took.
    async fn all_are_delivered(&self) -> Result<Duration, Box<dyn Error>> {
        let sent = self.sent.get();
        let received = |client: &Client| client.seen().lines.len();
        let time = until("all clients receive all messages", STEP_TIMEOUT, || {
            self.clients.iter().all(|client| received(client) >= sent)
        });
        let time = time.await.map_err(|error| {
            let counts = self.clients.iter().map(|client| format!("{} {}", client.nick, received(client)));
            format!("{error}; of {sent} messages: {}", counts.collect::<Vec<_>>().join(", "))
        })?;
        let lines = self.clients[0].seen().lines.clone();
        for client in &self.clients {
            let seen = client.seen();
            if seen.missed {
                return Err(format!("a server reported missed messages to {}", client.nick).into());
            }
            if seen.lines != lines {
                return Err(
                    format!("{} received other messages than {}", client.nick, self.clients[0].nick).into()
                );
            }
        }
        let ids = lines.iter().map(|(id, ..)| id).collect::<BTreeSet<_>>();
        if lines.len() != sent || ids.len() != sent {
            return Err(format!("{} lines with {} ids of {sent} messages", lines.len(), ids.len()).into());
        }
        // Each sender counts its messages, from 0 on in each step. Only refused messages may be missing.
        let mut left_out = 0;
        for client in &self.clients {
            let numbers = lines.iter().filter(|(_, nick, _)| *nick == client.nick);
            let numbers = numbers.map(|(.., text)| text.parse()).collect::<Result<Vec<usize>, _>>()?;
            for pair in numbers.windows(2).filter(|pair| pair[1] > 0) {
                if pair[1] <= pair[0] {
                    let (nick, first, then) = (&client.nick, pair[0], pair[1]);
                    return Err(format!("{nick}'s message {then} arrived after {first}").into());
                }
                left_out += pair[1] - pair[0] - 1;
            }
        }
        if left_out > self.refused.get() {
            return Err(format!("{left_out} messages are missing among others").into());
        }
        Ok(time)
    }

    /// Waits until all clients see the same members: themselves and those in `more`.
    async fn people_agree(&self, what: &str, more: &[&str]) -> Result<Duration, String> {
        let people = self.clients.iter().map(|client| &*client.nick).chain(more.iter().copied());
        let people = people.map(fold).collect::<BTreeSet<_>>();
        until(what, STEP_TIMEOUT, || self.clients.iter().all(|client| client.seen().people == people)).await
    }
}
