use ws_sessions::Session;

use crate::{
    Chat,
    protocol::{Event, Id, Refusal},
};

/// What gives each event its place in the order that everybody sees, and each name to one person.
pub trait Backplane: Send + Sync {
    /// Asks whether a name can be had. The answer is [`Chat::admit`] or [`Chat::refuse`], now or later. If
    /// nobody had the name in that room, [`Event::Joined`] happens there.
    fn claim(&self, chat: &Chat, claim: Claim);

    /// Gives back the name that a claim got. Unless another claim has got it meanwhile, [`Event::Left`]
    /// happens in the room.
    fn release(&self, chat: &Chat, claim: &Claim);

    /// Says that something happened in a room. [`Chat::deliver`] brings it to those who are there, in the
    /// order in which one person said it.
    ///
    /// # Errors
    ///
    /// Why it will reach nobody.
    fn publish(&self, chat: &Chat, room: &str, event: Event) -> Result<(), Refusal>;
}

/// Somebody asks to take part in a room.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who.
    pub session: Session,
    /// Where.
    pub room: String,
    /// By which name.
    pub nick: String,
    /// By which secret.
    pub key: String,
    /// The last line seen.
    pub after: Option<Id>,
}

/// The backplane of a chat within one process.
#[derive(Clone, Copy, Debug)]
pub struct Local;

impl Backplane for Local {
    fn claim(&self, chat: &Chat, claim: Claim) {
        chat.admit_here(&claim);
    }

    fn release(&self, chat: &Chat, claim: &Claim) {
        chat.append(&claim.room, &Event::Left { nick: claim.nick.clone() });
    }

    fn publish(&self, chat: &Chat, room: &str, event: Event) -> Result<(), Refusal> {
        chat.append(room, &event);
        Ok(())
    }
}
