//! Attacks before a WebSocket is open, and by opening many.

use std::io::Read as _;

use ws_benches::{frames::frame, server::request};

use super::{Attack, tls};
use crate::{Result, attacker::Attacker, servers::Needs};

pub(super) fn attacks() -> Vec<Attack> {
    [of_connections(), of_heads()].into_iter().flatten().collect()
}

fn of_connections() -> Vec<Attack> {
    vec![
        Attack {
            name: "connections that send no byte",
            bound: "10 s for the handshake, `max_connections`",
            shown: "`handshakes_that_do_not_go_on_keep_no_other_client_waiting`, `handshakes_in_progress_count`",
            needs: Needs::Nothing,
            run: |attacker| {
                for _ in 0..400 {
                    let socket = attacker.connect()?;
                    attacker.hold(socket);
                }
                Ok(())
            },
        },
        Attack {
            name: "open connections that stay idle",
            bound: "1 KiB of heap, `max_connections`",
            shown: "`an_idle_connection_costs_at_most_1_kib_of_heap`",
            needs: Needs::Nothing,
            run: |attacker| {
                for socket in attacker.open_all(400)? {
                    attacker.hold(socket);
                }
                Ok(())
            },
        },
        Attack {
            name: "open, close, and again",
            bound: "one handshake and one Close",
            shown: "`a_thousand_connections_of_all_kinds_leak_no_descriptor_or_thread`",
            needs: Needs::Nothing,
            run: |attacker| {
                for _ in 0..300 {
                    let mut socket = attacker.open()?;
                    attacker.write(&socket, &frame(0x88, &[0x03, 0xE8]));
                    let _ = socket.read_to_end(&mut Vec::new());
                }
                Ok(())
            },
        },
        Attack {
            name: "open, reset, and again",
            bound: "one handshake",
            shown: "`resets_at_every_stage_leave_nothing_behind`",
            needs: Needs::Nothing,
            run: |attacker| attacker.open_all(300).map(drop),
        },
        Attack {
            name: "TLS handshakes that the client breaks off",
            bound: "one key exchange and one signature",
            shown: "`what_is_no_tls_is_ended_and_leaves_nothing_behind`",
            needs: Needs::Tls,
            run: |attacker| {
                let hello = tls::client_hello();
                for _ in 0..300 {
                    let mut socket = attacker.connect()?;
                    attacker.write(&socket, &hello);
                    let mut answer = [0; 4096];
                    if socket.read(&mut answer)? < 6 || answer[0] != 0x16 {
                        return Err("the server refuses the ClientHello".into());
                    }
                }
                Ok(())
            },
        },
        Attack {
            name: "pages of 8 MiB that are not read",
            bound: "one copy for all clients, `write_timeout`",
            shown: "`a_page_is_in_memory_once_for_64_clients_that_do_not_read_it`, `a_page_that_is_never_read_ends_after_the_write_timeout`",
            needs: Needs::Page,
            run: |attacker| {
                for _ in 0..64 {
                    let socket = attacker.connect()?;
                    let request = format!("GET /page HTTP/1.1\r\nHost: {}\r\n\r\n", attacker.address);
                    attacker.write(&socket, request.as_bytes());
                    attacker.hold(socket);
                }
                Ok(())
            },
        },
    ]
}

fn of_heads() -> Vec<Attack> {
    const LINEAR: &str = "`a_head_costs_the_same_for_each_byte_however_it_is_cut`";
    vec![
        Attack {
            name: "requests in single bytes",
            bound: "each byte is read once, 10 s",
            shown: "`handshakes_that_drip_end_when_their_time_is_up`",
            needs: Needs::Nothing,
            run: |attacker| {
                let sockets = (0..50).map(|_| attacker.connect()).collect::<Result<Vec<_>>>()?;
                let request = request(attacker.address, "/", "");
                attacker.drip(sockets, request.as_bytes());
                Ok(())
            },
        },
        Attack {
            name: "heads without an end",
            bound: "16 KiB, then 431",
            shown: "`long_or_endless_heads_use_bounded_memory`",
            needs: Needs::Nothing,
            run: |attacker| {
                let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "a".repeat(20_000));
                requests(attacker, &head)
            },
        },
        Attack {
            name: "heads with 120 fields",
            bound: "128 fields, then 431",
            shown: LINEAR,
            needs: Needs::Nothing,
            run: |attacker| {
                let request = request(attacker.address, "/", &"a: b\r\n".repeat(114));
                requests(attacker, &request)
            },
        },
        Attack {
            name: "paths of 15,900 slashes",
            bound: "a path is split up to the longest route",
            shown: "`a_path_of_many_slashes_costs_no_more_than_its_bytes`",
            needs: Needs::Nothing,
            run: |attacker| {
                let request = request(attacker.address, &"/".repeat(15_900), "");
                requests(attacker, &request)
            },
        },
        Attack {
            name: "offers of 2,000 extensions",
            bound: "one pass",
            shown: LINEAR,
            needs: Needs::Nothing,
            run: |attacker| {
                let offer = format!("Sec-WebSocket-Extensions: {}\r\n", vec!["abcde"; 2000].join(","));
                let request = request(attacker.address, "/", &offer);
                requests(attacker, &request)
            },
        },
        Attack {
            name: "garbage instead of a request",
            bound: "400, then the end",
            shown: "`every_refusal_says_what_is_wrong_and_closes`",
            needs: Needs::Nothing,
            run: |attacker| requests(attacker, "\u{16}\u{3}\u{1}garbage\r\n\r\n"),
        },
    ]
}

/// Sends 200 requests on as many connections, and does not read the responses.
fn requests(attacker: &mut Attacker<'_>, request: &str) -> Result<()> {
    for _ in 0..200 {
        let socket = attacker.connect()?;
        attacker.write(&socket, request.as_bytes());
        attacker.hold(socket);
    }
    Ok(())
}
