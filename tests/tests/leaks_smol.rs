//! Leaks of descriptors in ws-smol. This is the only test of its program, because it counts those of the whole
//! process.

use ws_std::CloseCode;
use ws_tests::{
    Raw, Transport, bounded,
    either::{Adapter, Pairing, Route},
    eventually, kernel,
    tls::RawTls,
    wire::{self, Frame},
};

/// Runs one of eight kinds of clients, selected by its number.
fn come_and_go(pairing: Pairing, server: &ws_tests::either::Running, number: usize) {
    let partial = &Frame::text("broken off").masked().encode()[..9];
    match (number % 8, pairing.transport.is_tls()) {
        (0, _) => {
            let mut ws = pairing.client(server, "/").connect().unwrap();
            ws.send("hello").unwrap();
            assert_eq!(ws.message(), "hello");
            ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        }
        (1, _) => drop(pairing.client(server, "/").connect().unwrap()),
        (2, _) => drop(pairing.client(server, "/elsewhere").connect().unwrap_err()),
        (3, _) => Raw::connect(server.address()).reset(),
        (4, false) => Raw::open(server.address(), "/").write(partial),
        (5, false) => {
            let raw = Raw::open(server.address(), "/");
            raw.write(partial);
            raw.reset();
        }
        (6, false) => Raw::connect(server.address()).write(&wire::request("/", &[])[..30]),
        (4, true) => RawTls::open(server.address()).write(partial),
        (5, true) => {
            let mut raw = RawTls::open(server.address());
            raw.write(Frame::text("hello").masked().encode());
            raw.end();
        }
        (6, true) => RawTls::connect(server.address(), &[]).handshake().unwrap(),
        _ => drop(Raw::connect(server.address())),
    }
}

#[test]
fn a_thousand_connections_leave_no_descriptor_behind() {
    bounded(|| {
        for transport in Transport::BOTH {
            let pairing = Pairing { client: Adapter::Smol, server: Adapter::Smol, transport };
            let server = pairing.serve(Route::echo(Adapter::Smol)).start();
            // The first connections of each kind create data that stays for the whole process.
            (0..16).for_each(|number| come_and_go(pairing, &server, number));
            eventually("the first connections have ended", || server.handle().connections() == 0);
            let before = kernel::file_descriptors();
            (0..1000).for_each(|number| come_and_go(pairing, &server, number));
            eventually("all connections have ended", || server.handle().connections() == 0);
            eventually("all descriptors are closed", || kernel::file_descriptors() <= before);
        }
    });
}
