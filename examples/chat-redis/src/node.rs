use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{Client, RedisError};
use smol::{Task, Timer, channel, future};
use ws_chat::{
    Backplane, Chat, Claim,
    protocol::{Event, Refusal},
};

use crate::{
    link::random,
    queue::{Full, Job, Queue},
    reader::Reader,
    writer::Writer,
};

/// A node that has a Redis client and is not connected to a chat yet.
#[derive(Debug)]
pub struct Cluster(Arc<Shared>);

/// The state that a node's tasks and its backplane share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    /// A unique name of this run of the node. It differs from the names of all other nodes and earlier runs.
    pub(crate) node: String,
    pub(crate) queue: Queue,
    last_answer: Mutex<Option<Instant>>,
}

/// The backplane of a node's chat.
#[derive(Clone, Debug)]
pub struct RedisBackplane(Arc<Shared>);

/// A running node. Dropping it stops its tasks.
pub struct Node {
    shared: Arc<Shared>,
    writer: Task<()>,
    _reader: Task<()>,
}

impl Cluster {
    /// Creates a node with this display name that uses the Redis server at `url`.
    ///
    /// # Errors
    ///
    /// Returns an error if the URL is invalid.
    pub fn new(url: &str, name: &str) -> Result<Self, RedisError> {
        let (client, node) = (Client::open(url)?, format!("{name}-{:016x}", random()));
        Ok(Self(Arc::new(Shared { client, node, queue: Queue::new(), last_answer: Mutex::default() })))
    }

    /// Returns the backplane with which to create the node's chat.
    #[must_use]
    pub fn backplane(&self) -> RedisBackplane {
        RedisBackplane(self.0.clone())
    }

    /// Starts the node and waits until the chat has received all events that Redis holds. Waits for Redis without a
    /// timeout.
    pub async fn start(self, chat: &Chat) -> Node {
        let (caught_up, is_caught_up) = channel::bounded(1);
        let reader = Reader::new(self.0.clone(), chat.clone(), caught_up);
        let _reader = smol::spawn(reader.run());
        let writer = smol::spawn(Writer::new(self.0.clone(), chat.clone()).run());
        let _ = is_caught_up.recv().await;
        Node { shared: self.0, writer, _reader }
    }
}

impl Node {
    /// Maximum time since Redis's last answer before the node counts as unhealthy.
    const MAX_SILENCE: Duration = Duration::from_secs(10);

    /// Returns a function for health checks. It returns `true` if Redis has answered within the last 10 seconds.
    pub fn health(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || shared.silence().is_some_and(|silence| silence < Self::MAX_SILENCE)
    }

    /// Stops the node after the queued jobs have been written, or when the timeout has passed.
    pub async fn stop(self, timeout: Duration) {
        self.shared.queue.close();
        future::or(self.writer, async {
            Timer::after(timeout).await;
        })
        .await;
    }
}

impl Backplane for RedisBackplane {
    fn claim(&self, chat: &Chat, claim: Claim) {
        if let Err(Full(Job::Claim { claim, .. })) =
            self.0.queue.push(Job::Claim { claim, since: Instant::now() })
        {
            chat.refuse(&claim, Refusal::Unavailable);
        }
    }

    fn release(&self, _: &Chat, claim: &Claim) {
        let (room, nick) = (claim.room.clone(), claim.nick.clone());
        // If the queue is full, a later census finds the name without a session and releases it.
        let _ = self.0.queue.push(Job::Release { room, nick, session: claim.session.id().get() });
    }

    fn publish(&self, _: &Chat, room: &str, event: Event) -> Result<(), Refusal> {
        self.0.queue.push(Job::Say { room: room.to_owned(), event }).map_err(|_| Refusal::Unavailable)
    }
}

impl Shared {
    /// Records that Redis has answered.
    pub(crate) fn record_answer(&self) {
        *self.last_answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn silence(&self) -> Option<Duration> {
        self.last_answer.lock().unwrap_or_else(PoisonError::into_inner).map(|answer| answer.elapsed())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.shared.node).finish_non_exhaustive()
    }
}
