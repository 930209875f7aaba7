//! Sessions, callbacks and broadcasts, with all pairings of adapters.

use std::sync::mpsc;

use ws_std::{Callbacks, Sessions};
use ws_tests::{
    PATIENCE,
    either::{Pairing, Route},
    eventually, with_every_pairing,
};

with_every_pairing! {
    ten_clients_that_send_128_messages_each_see_all_of_them
}

fn ten_clients_that_send_128_messages_each_see_all_of_them(pairing: Pairing) {
    const CLIENTS: usize = 10;
    const MESSAGES: usize = 128;
    let everyone = Sessions::new();
    let (all, posted) = (everyone.clone(), everyone.clone());
    let room = Callbacks::new().sessions(&all).on_message(move |session, message| {
        posted.broadcast(format!("{} {message}", session.id()));
    });
    let server = pairing.serve(Route::callbacks(pairing.server, room)).start();

    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (seen, sees) = mpsc::channel();
        let callbacks = Callbacks::new().on_message(move |_, message| {
            let _ = seen.send(message.as_text().expect("text").to_owned());
        });
        clients.push((pairing.client(&server, "/").start(callbacks).unwrap(), sees));
    }
    eventually("all are online", || everyone.len() == CLIENTS);
    for number in 0..MESSAGES {
        for (client, _) in &clients {
            client.session().send(number.to_string()).unwrap();
        }
    }
    for (_, sees) in &clients {
        let mut next = std::collections::HashMap::new();
        for _ in 0..CLIENTS * MESSAGES {
            let line = sees.recv_timeout(PATIENCE).expect("a message");
            let (sender, number) = line.split_once(' ').unwrap();
            let next = next.entry(sender.to_owned()).or_insert(0);
            assert_eq!(number, next.to_string(), "of {sender}");
            *next += 1;
        }
        assert_eq!(next.len(), CLIENTS);
    }
    for (client, _) in clients {
        assert!(client.stop(PATIENCE));
    }
    eventually("nobody is online", || everyone.is_empty());
    let stats = everyone.stats();
    assert_eq!((stats.open, stats.opened), (0, CLIENTS as u64));
    assert_eq!(stats.sum.messages_received, (CLIENTS * MESSAGES) as u64);
    assert_eq!(stats.sum.messages_sent, (CLIENTS * CLIENTS * MESSAGES) as u64);
}
