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

/// Does what waits in the queue, one after the other, each until Redis has answered.
///
/// What was asked for and not answered is asked for again, by another connection and in the same order; its
/// numbers tell Redis what it has done already. That holds even if Redis still reads the lost connection.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    chat: Chat,
    link: Option<(MultiplexedConnection, Scripts)>,
    backoff: Backoff,
    batch: Vec<Job>,
    /// How many jobs were done before this batch.
    done: u64,
}

impl Writer {
    /// How many jobs one round trip does at most.
    const BATCH: usize = 64;
    /// How long somebody waits for a name while Redis is away, before he is sent to look elsewhere.
    const CLAIM_PATIENCE: Duration = Duration::from_secs(5);

    pub(crate) fn new(shared: Arc<Shared>, chat: Chat) -> Self {
        Self { shared, chat, link: None, backoff: Backoff::default(), batch: Vec::new(), done: 0 }
    }

    /// Works until the queue is closed and empty.
    pub(crate) async fn run(mut self) {
        let shared = self.shared.clone();
        while shared.queue.take(&mut self.batch, Self::BATCH).await {
            let answers = loop {
                match self.ask().await {
                    Ok(answers) => break answers,
                    Err(error) => self.failed(&error).await,
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

    /// Asks Redis for the whole batch.
    async fn ask(&mut self) -> RedisResult<Vec<Option<String>>> {
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

    /// Lets go of the connection, and of those who have waited too long; then waits.
    async fn failed(&mut self, error: &redis::RedisError) {
        eprintln!("writing to Redis: {error}");
        self.link = None;
        let chat = &self.chat;
        let give_up = |job: &mut Job| {
            let (claim, nick) = match job {
                Job::Claim { claim, since } if since.elapsed() > Self::CLAIM_PATIENCE => {
                    (claim.clone(), claim.nick.clone())
                }
                _ => return,
            };
            chat.refuse(&claim, Refusal::Unavailable);
            // Redis may have granted it.
            *job = Job::Release { room: claim.room, nick, session: claim.session.id().get() };
        };
        self.batch.iter_mut().for_each(give_up);
        self.shared.queue.for_each(give_up);
        self.backoff.wait().await;
    }
}
