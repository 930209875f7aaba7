use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{
    RedisResult,
    aio::MultiplexedConnection,
    streams::{StreamId, StreamRangeReply, StreamReadReply},
};
use smol::channel::Sender;
use ws_chat::{
    Chat, Holder, fold,
    protocol::{Event, Id},
};
use ws_smol::CloseCode;

use crate::{
    link::{Backoff, connect},
    node::Shared,
    queue::Job,
    scripts::{DeadMembers, STREAM, Scripts},
};

/// The task that delivers the events of the stream, and makes the chat and Redis agree on the members.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    chat: Chat,
    /// The last event that was read.
    position: Id,
    caught_up: Sender<()>,
}

/// The members of all rooms as of event `last`.
struct Census {
    last: Id,
    /// The first event that the stream still holds, if it has dropped earlier ones.
    first: Option<Id>,
    people: Vec<Person>,
}

struct Person {
    room: String,
    nick: String,
    node: String,
    session: u64,
}

impl Reader {
    /// Time after a node's last census for which other nodes consider it alive.
    const LEASE: Duration = Duration::from_secs(6);
    /// Time between two censuses.
    const CENSUS: Duration = Duration::from_millis(1500);
    /// Maximum number of events in one read.
    const PAGE: usize = 500;

    pub(crate) fn new(shared: Arc<Shared>, chat: Chat, caught_up: Sender<()>) -> Self {
        Self { shared, chat, position: Id::default(), caught_up }
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let Err(error) = self.follow(&mut backoff).await;
            eprintln!("reading from Redis: {error}");
            backoff.wait().await;
        }
    }

    /// Reads through one connection until it fails.
    async fn follow(&mut self, backoff: &mut Backoff) -> RedisResult<Infallible> {
        let connection = &mut connect(&self.shared.client, Self::CENSUS).await?;
        let scripts = Scripts::load(connection, &self.shared.node).await?;
        let (mut steady_since, mut before) = (Instant::now(), Instant::now());
        loop {
            // After an absence of its own, this node cannot distinguish dead nodes from those that are reconnecting
            // too.
            if before.elapsed() > Self::LEASE {
                steady_since = Instant::now();
            }
            before = Instant::now();
            let is_steady = steady_since.elapsed() > Self::LEASE;
            let dead = if is_steady { DeadMembers::Remove } else { DeadMembers::Keep };
            let census = take_census(connection, scripts.census(millis(Self::LEASE), dead)).await?;
            self.shared.record_answer();
            if backoff.reset() {
                eprintln!("reading from Redis: it is back");
            }
            self.check(&census);
            // The census describes one moment. Bring the chat to the same moment before comparing them.
            self.read_to(connection, census.last).await?;
            self.agree(&census);
            let _ = self.caught_up.try_send(()); // full, or the node has started already

            while let Some(blocks) =
                Self::CENSUS.checked_sub(before.elapsed()).filter(|&time| millis(time) > 0)
            {
                let mut cmd = redis::cmd("XREAD");
                cmd.arg("COUNT").arg(Self::PAGE).arg("BLOCK").arg(millis(blocks));
                cmd.arg("STREAMS").arg(STREAM).arg(self.position.to_string());
                let reply: Option<StreamReadReply> = cmd.query_async(connection).await?;
                for key in reply.into_iter().flat_map(|reply| reply.keys) {
                    self.deliver(key.ids);
                }
            }
        }
    }

    /// Marks events that the stream has dropped before this node read them.
    fn check(&self, census: &Census) {
        let Some(before) = census.first.and_then(before) else { return };
        if self.position == Id::default() {
            self.chat.forget(before);
        } else if self.position < before {
            eprintln!("reading from Redis: {} to {before} are gone", self.position);
            self.chat.forget(before);
            // Connected clients would not notice the gap. When they reconnect, the chat informs them of it.
            // It cannot fail: this code and reason can be sent.
            let _ = self.chat.sessions().close_all(CloseCode::TRY_AGAIN_LATER, "messages were lost");
        }
    }

    async fn read_to(&mut self, connection: &mut MultiplexedConnection, last: Id) -> RedisResult<()> {
        while self.position < last {
            let mut cmd = redis::cmd("XRANGE");
            cmd.arg(STREAM).arg(format!("({}", self.position)).arg(last.to_string());
            let page: StreamRangeReply = cmd.arg("COUNT").arg(Self::PAGE).query_async(connection).await?;
            match page.ids.is_empty() {
                true => self.position = last,
                false => self.deliver(page.ids),
            }
        }
        Ok(())
    }

    fn deliver(&mut self, entries: Vec<StreamId>) {
        for entry in entries {
            let Ok(id) = entry.id.parse::<Id>() else { continue };
            self.position = id;
            let field = |name| entry.get::<String>(name);
            let event = field("event").and_then(|event| serde_json::from_str::<Event>(&event).ok());
            // Another program has written this entry.
            let (Some(room), Some(event), Some(node)) = (field("room"), event, field("node")) else {
                continue;
            };
            let again = field("again").is_some_and(|again| again == "1");
            let holder = if again { Holder::SameClient } else { Holder::OtherClient };
            // A client that joined through another node no longer has a connection to this one. The writer handles
            // this node's own claims when Redis answers them.
            if let (Event::Joined { nick }, true) = (&event, node != self.shared.node) {
                self.chat.supersede(&room, nick, id, holder);
            }
            if !again {
                self.chat.deliver(&room, id, &event);
            }
        }
    }

    /// Makes the chat agree with a census. The chat must have received all events up to the census.
    fn agree(&self, census: &Census) {
        let mut rooms = HashMap::<_, Vec<_>>::new();
        let mut holders = HashMap::new();
        for Person { room, nick, node, session } in &census.people {
            rooms.entry(room.clone()).or_default().push(nick.clone());
            holders.insert((room.clone(), fold(nick)), (node, *session));
        }
        self.chat.set_people(&rooms);

        // Names that a session of this node holds and Redis does not: Redis has lost its data, or another node
        // considered this one dead. Events that were read before the census were granted before it, even if Redis has
        // lost everything since.
        for (claim, by) in self.chat.granted() {
            match holders.get(&(claim.room.clone(), fold(&claim.nick))) {
                // The name was granted after the census.
                _ if by > self.position => {}
                None => drop(self.shared.queue.push(Job::Restore { claim })),
                Some((node, _)) if **node == self.shared.node => {}
                Some(_) => self.chat.supersede(&claim.room, &claim.nick, self.position, Holder::OtherClient),
            }
        }

        // Names that Redis assigns to a session of this node that has ended. A session with an unanswered claim is
        // still connected, or its disconnect callback releases the name after the answer.
        let connected = self.chat.sessions().all();
        let connected = connected.iter().map(|session| session.id().get()).collect::<HashSet<_>>();
        for Person { room, nick, node, session } in &census.people {
            if *node == self.shared.node && !connected.contains(session) {
                let (room, nick) = (room.clone(), nick.clone());
                let _ = self.shared.queue.push(Job::Release { room, nick, session: *session });
            }
        }
    }
}

async fn take_census(connection: &mut MultiplexedConnection, census: redis::Cmd) -> RedisResult<Census> {
    let (last, first, people): (String, String, Vec<String>) = census.query_async(connection).await?;
    let people = people.chunks_exact(4).filter_map(|person| {
        let [room, nick, node, session] = person else { return None };
        let (room, nick, node) = (room.clone(), nick.clone(), node.clone());
        Some(Person { room, nick, node, session: session.parse().ok()? })
    });
    Ok(Census { last: last.parse().unwrap_or_default(), first: first.parse().ok(), people: people.collect() })
}

/// Returns the last id before `id`.
fn before(id: Id) -> Option<Id> {
    match id.sequence {
        0 => Some(Id { millis: id.millis.checked_sub(1)?, sequence: u64::MAX }),
        sequence => Some(Id { sequence: sequence - 1, ..id }),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_between_an_id_and_the_one_before() {
        let id = |text: &str| text.parse::<Id>().unwrap();
        assert_eq!(before(id("7-1")), Some(id("7-0")));
        assert_eq!(before(id("7-0")), Some(Id { millis: 6, sequence: u64::MAX }));
        assert_eq!(before(id("0-0")), None);
    }
}
