//! The Lua scripts that Redis runs. Redis executes nothing else while a script runs, so the names and the stream
//! agree before and after each script.

use redis::{Cmd, RedisResult, aio::MultiplexedConnection};
use ws_chat::{Claim, fold, protocol::Event};

/// The key of the event stream. All keys share the part in braces, so that a Redis Cluster keeps them on one node,
/// which scripts require.
pub(crate) const STREAM: &str = "{ws-chat}:events";
const PEOPLE: &str = "{ws-chat}:people";
const NODES: &str = "{ws-chat}:nodes";

/// Approximate number of events that the stream keeps.
const KEPT: u32 = 10_000;

/// The treatment of members if their node has not renewed its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadMembers {
    Keep,
    Remove,
}

/// The hashes under which a Redis server has loaded the scripts.
#[derive(Debug)]
pub(crate) struct Scripts {
    node: String,
    /// The key that holds the number of this node's last completed job.
    done: String,
    say: String,
    claim: String,
    restore: String,
    release: String,
    census: String,
}

impl Scripts {
    /// Loads all scripts. They are lost when Redis restarts, which also ends the connection.
    pub(crate) async fn load(connection: &mut MultiplexedConnection, node: &str) -> RedisResult<Self> {
        let mut pipeline = redis::pipe();
        for script in [
            include_str!("scripts/say.lua"),
            include_str!("scripts/claim.lua"),
            include_str!("scripts/restore.lua"),
            include_str!("scripts/release.lua"),
            include_str!("scripts/census.lua"),
        ] {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(script);
        }
        let [say, claim, restore, release, census]: [String; 5] = pipeline.query_async(connection).await?;
        let (node, done) = (node.to_owned(), format!("{{ws-chat}}:done:{node}"));
        Ok(Self { node, done, say, claim, restore, release, census })
    }

    pub(crate) fn say(&self, number: u64, room: &str, event: &Event) -> Cmd {
        let mut cmd = call(&self.say, &[STREAM, &self.done]);
        cmd.arg(number).arg(KEPT).arg(&self.node).arg(room).arg(to_json(event));
        cmd
    }

    pub(crate) fn claim(&self, number: u64, claim: &Claim) -> Cmd {
        let mut cmd = call(&self.claim, &[STREAM, PEOPLE, &self.done]);
        cmd.arg(number).arg(KEPT).arg(&self.node);
        self.person(&mut cmd, claim);
        cmd
    }

    pub(crate) fn restore(&self, claim: &Claim) -> Cmd {
        let mut cmd = call(&self.restore, &[STREAM, PEOPLE]);
        cmd.arg(KEPT).arg(&self.node);
        self.person(&mut cmd, claim);
        cmd
    }

    pub(crate) fn release(&self, room: &str, nick: &str, session: u64) -> Cmd {
        let left = to_json(&Event::Left { nick: nick.to_owned() });
        let mut cmd = call(&self.release, &[STREAM, PEOPLE]);
        cmd.arg(KEPT).arg(&self.node).arg(room).arg(left).arg(field(room, nick)).arg(session);
        cmd
    }

    pub(crate) fn census(&self, lease_ms: u64, dead: DeadMembers) -> Cmd {
        let mut cmd = call(&self.census, &[STREAM, PEOPLE, NODES]);
        cmd.arg(KEPT).arg(&self.node).arg(lease_ms).arg(u8::from(dead == DeadMembers::Remove));
        cmd
    }

    fn person(&self, cmd: &mut Cmd, Claim { session, room, nick, key, .. }: &Claim) {
        let joined = to_json(&Event::Joined { nick: nick.clone() });
        cmd.arg(room).arg(joined).arg(field(room, nick)).arg(nick).arg(session.id().get()).arg(key);
    }
}

fn call(script: &str, keys: &[&str]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script).arg(keys.len()).arg(keys);
    cmd
}

/// Returns the field of a name in the hash. Names of rooms contain no slash.
fn field(room: &str, nick: &str) -> String {
    format!("{room}/{}", fold(nick))
}

fn to_json(event: &Event) -> String {
    serde_json::to_string(event).expect("strings can be written")
}
