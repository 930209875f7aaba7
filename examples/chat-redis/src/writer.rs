use std::{mem, sync::Arc, time::Duration};

use redis::{RedisResult, aio::MultiplexedConnection};
use ws_chat::{
    Chat,
    protocol::{Id, Refusal},
};

use crate::{
    link::{Backoff, connect},
    node::Shared,
    queue::Job,
    scripts::Scripts,
};

/// Executes the queued jobs in order, one batch at a time, and waits for Redis to answer each batch.
///
/// A batch without an answer is repeated through another connection in the same order. The jobs carry numbers, from
/// which Redis knows the completed ones. This holds even if Redis still reads from the lost connection.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    chat: Chat,
    link: Option<(MultiplexedConnection, Scripts)>,
    backoff: Backoff,
    batch: Vec<Job>,
    /// The number of jobs that were completed before this batch.
    done: u64,
}

impl Writer {
    /// Maximum number of jobs in one round trip.
    const BATCH: usize = 64;
    /// Maximum time that a client waits for a name while Redis is unreachable. After that the node disconnects it, so
    /// that it tries another node.
    const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

    pub(crate) fn new(shared: Arc<Shared>, chat: Chat) -> Self {
        Self { shared, chat, link: None, backoff: Backoff::default(), batch: Vec::new(), done: 0 }
    }

    /// Executes jobs until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        while shared.queue.take(&mut self.batch, Self::BATCH).await {
            let answers = loop {
                match self.send_batch().await {
                    Ok(answers) => break answers,
                    Err(error) => self.recover(&error).await,
                }
            };
            self.backoff.reset();
            self.done += answers.len() as u64;
            for (job, answer) in mem::take(&mut self.batch).into_iter().zip(answers) {
                if let Job::Claim { claim, .. } = job {
                    match answer.as_deref().map(str::parse::<Id>) {
                        Some(Ok(by)) => self.chat.admit(&claim, by),
                        _ => self.chat.refuse(&claim, Refusal::NickTaken),
                    }
                }
            }
        }
    }

    /// Sends the whole batch to Redis and returns the answers.
    async fn send_batch(&mut self) -> RedisResult<Vec<Option<String>>> {
        let (connection, scripts) = match &mut self.link {
            Some(link) => link,
            None => {
                let mut connection = connect(&self.shared.client, Duration::ZERO).await?;
                let scripts = Scripts::load(&mut connection, &self.shared.node).await?;
                self.link.insert((connection, scripts))
            }
        };
        let mut pipeline = redis::pipe();
        for (job, number) in self.batch.iter().zip(self.done + 1..) {
            pipeline.add_command(match job {
                Job::Say { room, event } => scripts.say(number, room, event),
                Job::Claim { claim, .. } => scripts.claim(number, claim),
                Job::Restore { claim } => scripts.restore(claim),
                Job::Release { room, nick, session } => scripts.release(room, nick, *session),
            });
        }
        pipeline.query_async(connection).await
    }

    /// Drops the connection, refuses the claims that have waited too long, and waits before the next attempt.
    async fn recover(&mut self, error: &redis::RedisError) {
        eprintln!("writing to Redis: {error}");
        self.link = None;
        let chat = &self.chat;
        let give_up = |job: &mut Job| {
            let (claim, nick) = match job {
                Job::Claim { claim, since } if since.elapsed() > Self::CLAIM_TIMEOUT => {
                    (claim.clone(), claim.nick.clone())
                }
                _ => return,
            };
            chat.refuse(&claim, Refusal::Unavailable);
            // Redis may have granted the name.
            *job = Job::Release { room: claim.room, nick, session: claim.session.id().get() };
        };
        self.batch.iter_mut().for_each(give_up);
        self.shared.queue.for_each(give_up);
        self.backoff.wait().await;
    }
}
