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

/// A node that has a place in Redis, and no chat yet.
#[derive(Debug)]
pub struct Cluster(Arc<Shared>);

/// What a node's tasks and its backplane share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    /// What nobody else is called, nor was this node before it was started again.
    pub(crate) node: String,
    pub(crate) queue: Queue,
    heard: Mutex<Option<Instant>>,
}

/// The backplane of a node's chat.
#[derive(Clone, Debug)]
pub struct RedisBackplane(Arc<Shared>);

/// A node that takes part. Dropping it stops its tasks.
pub struct Node {
    shared: Arc<Shared>,
    writer: Task<()>,
    _reader: Task<()>,
}

impl Cluster {
    /// A node of this name, for people, at the Redis of this URL.
    ///
    /// # Errors
    ///
    /// The URL is none.
    pub fn new(url: &str, name: &str) -> Result<Self, RedisError> {
        let (client, node) = (Client::open(url)?, format!("{name}-{:016x}", random()));
        Ok(Self(Arc::new(Shared { client, node, queue: Queue::new(), heard: Mutex::default() })))
    }

    /// What the node's chat is made with.
    #[must_use]
    pub fn backplane(&self) -> RedisBackplane {
        RedisBackplane(self.0.clone())
    }

    /// Takes part, once the chat knows all that Redis holds; waits for Redis as long as it takes.
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
    /// How long Redis may be silent before clients had better go to another node.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A question for health checks: whether Redis has answered lately.
    pub fn health(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || shared.silence().is_some_and(|silence| silence < Self::PATIENCE)
    }

    /// Stops after what waits has been written, or when the time is over.
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
        // If there is no room for it, a census will find a name whose session is gone.
        let _ = self.0.queue.push(Job::Release { room, nick, session: claim.session.id().get() });
    }

    fn publish(&self, _: &Chat, room: &str, event: Event) -> Result<(), Refusal> {
        self.0.queue.push(Job::Say { room: room.to_owned(), event }).map_err(|_| Refusal::Unavailable)
    }
}

impl Shared {
    /// Notes that Redis has answered.
    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn silence(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|heard| heard.elapsed())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("name", &self.shared.node).finish_non_exhaustive()
    }
}
