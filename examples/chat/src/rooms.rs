use std::collections::HashMap;

use crate::{limits::Limits, protocol::Id, room::Room};

/// The room that always exists. It also stands for the path `/`.
pub(crate) const LOBBY: &str = "lobby";

/// The rooms of a server.
#[derive(Default)]
pub(crate) struct Rooms {
    by_name: HashMap<String, Room>,
    /// The last event of all removed rooms. A room that is created later has no history up to this event.
    forgotten: Option<Id>,
}

impl Rooms {
    /// Returns a room if it exists.
    pub(crate) fn get(&mut self, name: &str) -> Option<&mut Room> {
        self.by_name.get_mut(name)
    }

    /// Returns a room, which is created if the limit permits. At the limit, a new room replaces the empty room that has
    /// been quiet for longest. Returns `None` if no room is empty. The lobby is never refused or replaced.
    pub(crate) fn get_or_create(&mut self, name: &str, limits: &Limits) -> Option<&mut Room> {
        if !self.by_name.contains_key(name) {
            let others = self.by_name.len() - usize::from(self.by_name.contains_key(LOBBY));
            if name != LOBBY && others >= limits.rooms {
                self.remove_quietest()?;
            }
            self.by_name.insert(name.to_owned(), Room::new(limits.history, self.forgotten));
        }
        self.by_name.get_mut(name)
    }

    fn remove_quietest(&mut self) -> Option<()> {
        let empty = self.by_name.iter().filter(|(name, room)| *name != LOBBY && room.is_empty());
        let quietest = empty.min_by_key(|(_, room)| room.last()).map(|(name, _)| name.clone())?;
        let removed = self.by_name.remove(&quietest)?;
        self.forget_removed(removed.last());
        Some(())
    }

    /// Marks an event as lost for rooms that do not exist yet.
    pub(crate) fn forget_removed(&mut self, id: Id) {
        self.forgotten = self.forgotten.max(Some(id));
    }

    /// Marks the events up to `id` as lost in all rooms.
    pub(crate) fn forget(&mut self, id: Id) {
        self.forget_removed(id);
        self.by_name.values_mut().for_each(|room| room.forget(id));
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Room)> {
        self.by_name.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Event;

    #[test]
    fn the_lobby_has_a_place_beside_all_other_rooms_and_keeps_it() {
        let limits = Limits { rooms: 2, ..Limits::default() };
        let mut rooms = Rooms::default();
        let joined = Event::Joined { nick: "Ann".into() };
        for name in ["one", "two"] {
            rooms.get_or_create(name, &limits).unwrap().append(1, &joined);
        }
        assert!(rooms.get_or_create("three", &limits).is_none());
        assert!(rooms.get_or_create(LOBBY, &limits).is_some());

        // A new room replaces another one that is empty, and never the lobby.
        rooms.get("two").unwrap().append(2, &Event::Left { nick: "Ann".into() });
        assert!(rooms.get_or_create("three", &limits).is_some());
        assert!(rooms.get("two").is_none() && rooms.get(LOBBY).is_some());
        rooms.get("three").unwrap().append(3, &joined);
        assert!(rooms.get_or_create("four", &limits).is_none());
    }
}
