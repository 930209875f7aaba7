//! The limits of the chat servers of both adapters: the size of a welcome, refused messages, and places outside the
//! lobby.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{Barrier, LazyLock},
    thread,
};

use ws_tests::{
    Process, Raw, bounded, eventually, programs,
    wire::{self, Frame},
};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(programs);

/// Creates two tests from a function, one for each chat server.
macro_rules! with_both_servers {
    ($($test:ident)*) => {
        mod with_std {
            $(#[test] fn $test() { super::run(|| super::$test("chat_server")); })*
        }
        mod with_smol {
            $(#[test] fn $test() { super::run(|| super::$test("smol_chat_server")); })*
        }
    };
}

with_both_servers! {
    a_welcome_lists_100_members_and_the_number_of_all
    a_welcome_and_its_history_have_at_most_64_000_bytes
    the_hundredth_refusal_closes_the_connection_with_1008
    a_thousand_members_of_other_rooms_leave_the_lobby_open
    connections_outside_the_lobby_have_a_limit_of_their_own
    the_limit_outside_the_lobby_holds_for_simultaneous_connections
}

/// Same as [`bounded`], with the programs built before the clock starts.
fn run(body: impl FnOnce() + Send + 'static) {
    LazyLock::force(&PROGRAMS);
    bounded(body);
}

fn serve(program: &str, options: &[&str]) -> (Process, SocketAddr) {
    let mut command = Command::new(PROGRAMS.join(program));
    let mut server = Process::start(command.args(["--listen", "127.0.0.1:0"]).args(options));
    let line = server.line();
    let address = line.strip_prefix("http://").and_then(|line| line.strip_suffix('/')).expect("a URL");
    let address = address.parse().expect("an address");
    (server, address)
}

/// Sends the request to join, without waiting for the answer.
fn ask(client: &Raw, nick: &str, more: &str) {
    client.send(Frame::text(&format!(r#"{{"type":"join","nick":"{nick}"{more}}}"#)));
}

fn say(client: &Raw, text: &str) {
    client.send(Frame::text(&format!(r#"{{"type":"say","text":"{text}"}}"#)));
}

fn text(client: &mut Raw) -> String {
    String::from_utf8(client.frame().payload).expect("UTF-8")
}

/// Joins a room and returns the client and its welcome.
fn join(address: SocketAddr, room: &str, nick: &str) -> (Raw, String) {
    let mut client = Raw::open(address, room);
    ask(&client, nick, "");
    let welcome = text(&mut client);
    assert!(welcome.starts_with(r#"{"type":"welcome""#), "{welcome}");
    (client, welcome)
}

fn a_welcome_lists_100_members_and_the_number_of_all(program: &str) {
    let (_server, address) = serve(program, &[]);
    let join = |number| join(address, "/garden", &format!("Guest {number}"));
    let mut others: Vec<_> = (1..150).map(join).collect();
    let (_client, welcome) = join(150);
    let (_, names) = welcome.split_once(r#""people":["#).expect("a list");
    let (names, rest) = names.split_once(']').expect("an end of the list");
    let names: Vec<_> = names.split(',').collect();
    assert_eq!(names.len(), 100, "{welcome}");
    assert!(names.contains(&r#""Guest 150""#), "{welcome}");
    assert!(rest.starts_with(r#","count":150,"#), "{welcome}");

    // The number of members comes with each change.
    let (last, _) = others.last_mut().expect("149 others");
    text(last); // Guest 149 joined
    let joined = text(last);
    assert!(joined.contains(r#""count":150,"what":"joined","nick":"Guest 150""#), "{joined}");
}

fn a_welcome_and_its_history_have_at_most_64_000_bytes(program: &str) {
    let (_server, address) = serve(program, &["--burst", "1000"]);
    let (mut ann, _) = join(address, "/garden", "Ann");
    text(&mut ann); // Ann joined
    for number in 10..60 {
        // In JSON, a control character takes six bytes.
        say(&ann, &format!("{number}{}", r"\u0001".repeat(998)));
        text(&mut ann);
    }
    for _ in 0..5 {
        let mut bob = Raw::open(address, "/garden");
        ask(&bob, "Bob", r#","key":"secret","after":"1-0""#);
        bob.send(Frame::text(r#"{"type":"ping","sent":1}"#));
        let (mut received, mut lines, mut size) = (String::new(), Vec::new(), 0);
        while !received.contains(r#""type":"pong""#) {
            let frame = bob.frame();
            size += frame.encode().len();
            received = String::from_utf8(frame.payload).expect("UTF-8");
            assert!(!received.contains(r#""type":"welcome""#) || received.contains(r#""missed":true"#));
            lines.extend(received.split_once(r#""text":""#).map(|(_, text)| text[..2].to_owned()));
        }
        assert!(size <= 64_000, "{size} bytes for one reconnect");
        // The oldest messages are left out.
        let expected: Vec<_> = (60 - lines.len()..60).map(|number| number.to_string()).collect();
        assert_eq!(lines, expected);
        assert!(lines.len() >= 8, "{lines:?}");
    }
}

fn the_hundredth_refusal_closes_the_connection_with_1008(program: &str) {
    let (_server, address) = serve(program, &[]);
    for refused in ["not JSON", r#"{"type":"say","text":"not joined"}"#] {
        let mut client = Raw::open(address, "/");
        let message = Frame::text(refused).masked().encode();
        client.write(message.repeat(99));
        client.send(Frame::new(Frame::PING, ""));
        let count = |client: &mut Raw| {
            let mut frames = std::iter::from_fn(|| Some(client.frame()));
            frames.by_ref().take_while(|frame| frame.opcode == Frame::TEXT).count()
        };
        assert_eq!(count(&mut client), 99, "the connection is open before the hundredth refusal");
        // What follows the hundredth refused message is ignored.
        client.write(message.repeat(50));
        assert!(text(&mut client).contains(r#""type":"refused""#));
        let close = client.frame();
        assert_eq!(close.opcode, Frame::CLOSE);
        assert_eq!(close.code_and_reason(), (1008, "too many messages were refused"));
    }
}

fn a_thousand_members_of_other_rooms_leave_the_lobby_open(program: &str) {
    let (_server, address) = serve(program, &[]);
    let others: Vec<_> = (0..1000).map(|number| join(address, &format!("/room-{number}"), "Eve")).collect();
    let (mut ann, welcome) = join(address, "/", "Ann");
    assert!(welcome.contains(r#""room":"lobby""#), "{welcome}");
    say(&ann, "hello");
    text(&mut ann); // Ann joined
    assert!(text(&mut ann).contains("hello"));

    let mut late = Raw::open(address, "/another-room");
    ask(&late, "Bob", "");
    let refused = text(&mut late);
    assert!(
        refused.contains(r#""reason":"too_many_rooms""#) && refused.contains("Join the lobby"),
        "{refused}"
    );
    drop(others);
}

fn connections_outside_the_lobby_have_a_limit_of_their_own(program: &str) {
    const REFUSAL: &str = "All places outside the lobby are taken. Join the lobby, or try again later.\n";
    let (_server, address) = serve(program, &["--outside-lobby", "5"]);
    let mut idle: Vec<_> = (0..5).map(|number| Raw::open(address, &format!("/room-{number}"))).collect();
    let refused = |request: &str| {
        let mut client = Raw::connect(address);
        client.write(request);
        let reply = client.reply();
        assert_eq!((reply.status, &*reply.body), (503, REFUSAL));
        assert!(wire::header(&reply.head, "Retry-After").is_some(), "{}", reply.head);
    };
    refused(&wire::request("/room-0", &[]));
    refused("GET /room-6 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    for (path, nick) in [("/", "Ann"), ("/lobby", "Bob")] {
        join(address, path, nick);
    }

    drop(idle.pop());
    let opens = || {
        let mut client = Raw::connect(address);
        client.write(wire::request("/room-7", &[]));
        client.head().starts_with("HTTP/1.1 101 ")
    };
    eventually("a place is left", opens);
}

fn the_limit_outside_the_lobby_holds_for_simultaneous_connections(program: &str) {
    const CLIENTS: usize = 40;
    let (_server, address) = serve(program, &["--outside-lobby", "5"]);
    let together = Barrier::new(CLIENTS);
    let connect = || {
        let mut client = Raw::connect(address);
        together.wait();
        client.write(wire::request("/garden", &[]));
        let head = client.head();
        if !head.starts_with("HTTP/1.1 101 ") {
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            return None;
        }
        ask(&client, &format!("Guest {}", client.socket().local_addr().expect("an address").port()), "");
        let first = client.frame();
        match first.opcode {
            Frame::TEXT => Some(client),
            _ => {
                assert_eq!(first.code_and_reason(), (1013, "all places outside the lobby are taken"));
                None
            }
        }
    };
    let members = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(connect)).collect();
        // All members stay connected until the last client has its answer.
        clients.into_iter().filter_map(|client| client.join().expect("no panic")).collect::<Vec<_>>()
    });
    assert_eq!(members.len(), 5);
}
