//! Data of sessions, and sets of sessions.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::SystemTime,
};

use ws_std::{Callbacks, CloseCode, Message, PreparedMessage, Rooms, Session, Sessions};
use ws_tests::{
    PATIENCE, Raw,
    either::{Adapter, Client, Route, Running, Server, WebSocket},
    eventually,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    a_session_contains_the_request_and_the_peers_address
    a_session_keeps_a_value_of_any_type
    a_value_is_dropped_with_the_last_handle
    sessions_are_found_by_id_and_listed_the_oldest_first
    broadcasts_reach_those_who_are_meant
    a_session_that_was_removed_stays_connected
    a_session_that_has_ended_joins_no_set
    a_session_that_rejoins_is_not_counted_twice
    a_room_exists_while_it_has_a_member
    many_threads_that_join_leave_send_and_close_at_once_end
}

/// Starts a server with sessions that are in a set, on `/:room`.
fn serve(adapter: Adapter, everyone: &Sessions) -> Running {
    let route = Route::callbacks(adapter, Callbacks::new().sessions(everyone)).subprotocols(&["v1"]);
    Server::new(adapter).mount("/:room", route).start()
}

/// Connects clients one after the other, and returns them with their sessions.
fn join(server: &Running, everyone: &Sessions, count: usize) -> (Vec<Raw>, Arc<[Session]>) {
    let raws = (1..=count).map(|number| {
        let raw = Raw::open(server.address(), &format!("/{number}"));
        eventually("it is in the set", || everyone.len() == number);
        raw
    });
    (raws.collect(), everyone.all())
}

fn a_session_contains_the_request_and_the_peers_address(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = serve(adapter, &everyone);
    let before = SystemTime::now();
    let url = format!("ws://{}/caf%C3%A9?x=1", server.address());
    let client = Client::new(adapter, &url).header("Cookie", "id=1").subprotocol("v1").connect().unwrap();
    eventually("it is in the set", || !everyone.is_empty());
    let session = everyone.all()[0].clone();
    assert_eq!(session.path(), "/caf%C3%A9");
    assert_eq!(session.parameter("room"), Some("café"));
    assert_eq!(session.header("cookie"), Some("id=1"));
    assert_eq!(session.request().unwrap().query(), Some("x=1"));
    assert_eq!(session.subprotocol(), Some("v1"));
    let there = match &client {
        WebSocket::Std(ws) => ws.local_addr(),
        WebSocket::Smol(ws) => ws.local_addr(),
    };
    assert!(there.is_some());
    assert_eq!(session.peer_addr(), there);
    assert!(session.connected_at() >= before && session.connected_at() <= SystemTime::now());
    assert!(format!("{session:?}").contains("/caf%C3%A9"));
    // Ids are never reused, not even by another server.
    let (elsewhere, mut ids) = (Sessions::new(), HashSet::from([session.id()]));
    let other = serve(adapter, &elsewhere);
    let (_raws, all) = join(&other, &elsewhere, 5);
    assert!(all.iter().all(|session| ids.insert(session.id())));
    assert_eq!(session.id().to_string(), session.id().get().to_string());
}

fn a_session_keeps_a_value_of_any_type(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = serve(adapter, &everyone);
    let (_raws, all) = join(&server, &everyone, 2);
    assert!(all[0].data::<String>().is_none());
    all[0].set_data("Alice".to_owned());
    assert_eq!(*all[0].data::<String>().unwrap(), "Alice");
    assert!(all[0].data::<u32>().is_none() && all[1].data::<String>().is_none());
    all[0].set_data(Mutex::new(7_u32));
    assert!(all[0].data::<String>().is_none());
    *all[0].data::<Mutex<u32>>().unwrap().lock().unwrap() += 1;
    assert_eq!(*everyone.get(all[0].id()).unwrap().data::<Mutex<u32>>().unwrap().lock().unwrap(), 8);
}

fn a_value_is_dropped_with_the_last_handle(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = serve(adapter, &everyone);
    let (raws, all) = join(&server, &everyone, 1);
    let value = Arc::new(());
    all[0].set_data(value.clone());
    drop((raws, all));
    eventually("the connection's handles are gone", || Arc::strong_count(&value) == 1);
}

fn sessions_are_found_by_id_and_listed_the_oldest_first(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = serve(adapter, &everyone);
    assert!(everyone.is_empty());
    let (raws, all) = join(&server, &everyone, 5);
    assert!(all.is_sorted_by_key(|session| session.id()));
    let rooms = all.iter().map(|session| session.parameter("room").unwrap());
    assert_eq!(Vec::from_iter(rooms), ["1", "2", "3", "4", "5"]);
    for session in &*all {
        assert!(everyone.contains(session.id()));
        assert_eq!(everyone.get(session.id()).as_ref(), Some(session));
        assert!(!everyone.insert(session), "it is there already");
    }
    assert_eq!((everyone.len(), everyone.stats().opened), (5, 5));
    drop(raws);
    eventually("nobody is there", || everyone.is_empty());
    assert!(all.iter().all(|session| !everyone.contains(session.id())));
    assert!(everyone.get(all[0].id()).is_none());
}

fn broadcasts_reach_those_who_are_meant(adapter: Adapter) {
    let everyone = Sessions::new();
    assert_eq!(everyone.broadcast("to nobody"), 0);
    let server = serve(adapter, &everyone);
    let (mut raws, all) = join(&server, &everyone, 4);
    assert_eq!(everyone.broadcast("to all"), 4);
    assert_eq!(everyone.broadcast_except(all[1].id(), "to three"), 3);
    let even = |session: &Session| session.id().get().is_multiple_of(2);
    let meant = all.iter().filter(|session| even(session)).count();
    assert_eq!(everyone.broadcast_where("to the even", even), meant);
    assert_eq!(everyone.broadcast_prepared(&PreparedMessage::new(Message::from("prepared"))), 4);
    for (raw, session) in raws.iter_mut().zip(&*all) {
        let mut expected = vec!["to all"];
        expected.extend((session != &all[1]).then_some("to three"));
        expected.extend(even(session).then_some("to the even"));
        expected.push("prepared");
        for text in expected {
            assert_eq!(raw.frame(), Frame::text(text));
        }
    }
}

fn a_session_that_was_removed_stays_connected(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = serve(adapter, &everyone);
    let (mut raws, all) = join(&server, &everyone, 2);
    assert_eq!(everyone.remove(all[0].id()).as_ref(), Some(&all[0]));
    assert_eq!(everyone.remove(all[0].id()), None);
    assert_eq!((everyone.len(), everyone.broadcast("to the other")), (1, 1));
    all[0].send("still here").unwrap();
    assert_eq!(raws[0].frame(), Frame::text("still here"));
    assert_eq!(raws[1].frame(), Frame::text("to the other"));
    assert!(everyone.insert(&all[0]), "it may come back");
    assert_eq!(everyone.len(), 2);
}

fn a_session_that_has_ended_joins_no_set(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = serve(adapter, &everyone);
    let (raws, all) = join(&server, &everyone, 1);
    drop(raws);
    eventually("it has ended", || everyone.is_empty());
    assert!(!everyone.insert(&all[0]) && everyone.is_empty());
    let rooms = Rooms::new();
    assert!(rooms.join("room", &all[0]).is_empty());
    assert!(rooms.get("room").is_none() && rooms.all().is_empty());
}

fn a_session_that_rejoins_is_not_counted_twice(adapter: Adapter) {
    let (everyone, rooms) = (Sessions::new(), Rooms::new());
    let server = serve(adapter, &everyone);
    let (mut raws, all) = join(&server, &everyone, 1);
    all[0].send("before").unwrap();
    let room = rooms.join("room", &all[0]);
    for _ in 0..3 {
        all[0].send("inside").unwrap();
        assert!(rooms.leave("room", &all[0]));
        all[0].send("outside").unwrap();
        assert_eq!(rooms.join("room", &all[0]).len(), 1);
    }
    assert_eq!(room.stats().sum.messages_sent, 3);
    assert_eq!(everyone.stats().sum.messages_sent, 7);
    drop(raws.pop());
    eventually("it has ended", || everyone.is_empty());
    assert_eq!(room.stats().sum.messages_sent, 3);
    assert_eq!(everyone.stats().sum.messages_sent, 7);
}

fn a_room_exists_while_it_has_a_member(adapter: Adapter) {
    let (everyone, rooms) = (Sessions::new(), Rooms::new());
    let server = serve(adapter, &everyone);
    let (mut raws, all) = join(&server, &everyone, 3);
    assert!(rooms.get("hall").is_none());
    for session in &*all {
        rooms.join("hall", session);
    }
    rooms.join("bar", &all[0]);
    rooms.join("bar", &all[0]);
    assert_eq!(rooms.get("hall").unwrap().len(), 3);
    assert_eq!(rooms.get("bar").unwrap().len(), 1);
    let names = rooms.all().into_iter().map(|(name, room)| format!("{name} {}", room.len()));
    assert_eq!(names.collect::<HashSet<_>>(), ["hall 3".to_owned(), "bar 1".to_owned()].into());
    assert!(rooms.leave("bar", &all[0]) && !rooms.leave("bar", &all[0]) && !rooms.leave("attic", &all[0]));
    assert!(rooms.get("bar").is_none());
    assert_eq!(everyone.len(), 3, "other sets are not concerned");
    // A session that ends leaves all rooms.
    drop(raws.remove(0));
    eventually("it has left", || rooms.get("hall").unwrap().len() == 2);
    drop(raws);
    eventually("the room is gone", || rooms.get("hall").is_none());
    assert!(rooms.all().is_empty());
    // Empty rooms are removed, independent of their number.
    let (_raws, all) = join(&server, &everyone, 1);
    for number in 0..10_000 {
        rooms.join(&number.to_string(), &all[0]);
        rooms.leave(&number.to_string(), &all[0]);
    }
    assert!(rooms.all().is_empty());
    assert_eq!(rooms.join("hall", &all[0]).broadcast("anew"), 1);
}

fn many_threads_that_join_leave_send_and_close_at_once_end(adapter: Adapter) {
    const THREADS: usize = 8;
    const EACH: usize = 300;
    let (everyone, rooms) = (Sessions::new(), Rooms::new());
    let server = serve(adapter, &everyone);
    let (see, seen) = mpsc::channel();
    let clients = (0..6).map(|client| {
        let see = Mutex::new(see.clone());
        let callbacks = Callbacks::new().on_message(move |_, message| {
            let _ = see.lock().unwrap().send((client, message.as_text().unwrap().to_owned()));
        });
        Client::new(adapter, &format!("ws://{}/room", server.address())).start(callbacks).unwrap()
    });
    let clients = clients.collect::<Vec<_>>();
    drop(see);
    eventually("all are there", || everyone.len() == 6);
    let all = everyone.all();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (everyone, rooms, all) = (&everyone, &rooms, &all);
            scope.spawn(move || {
                for number in 0..EACH {
                    let session = &all[(thread + number) % all.len()];
                    match number % 6 {
                        0 => drop(rooms.join(&(number % 7).to_string(), session)),
                        1 => drop(rooms.leave(&(number % 5).to_string(), session)),
                        2 => drop(everyone.stats()),
                        3 => drop((rooms.all(), session.stats())),
                        4 => drop((everyone.get(session.id()), session.set_data(number))),
                        _ => drop((everyone.remove(session.id()), everyone.insert(session))),
                    }
                    // Use their own handles, because the set may lack one for a moment.
                    for session in &**all {
                        let _ = session.send(format!("{thread} {number}"));
                    }
                }
            });
        }
    });
    let mut next = [[0; THREADS]; 6];
    for _ in 0..6 * THREADS * EACH {
        let (client, text) = seen.recv_timeout(PATIENCE).unwrap();
        let (thread, number) = text.split_once(' ').unwrap();
        let next = &mut next[client][thread.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*next), "of thread {thread}");
        *next += 1;
    }
    // Now some sessions close while others broadcast.
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (everyone, all) = (&everyone, &all);
            scope.spawn(move || {
                for number in 0..EACH {
                    everyone.broadcast("to whoever is left");
                    if number == EACH / 2 && thread < all.len() {
                        all[thread].close(CloseCode::new(4000), "").unwrap();
                    }
                }
            });
        }
    });
    clients.iter().for_each(|client| client.wait());
    eventually("nobody is left", || everyone.is_empty() && rooms.all().is_empty());
}
