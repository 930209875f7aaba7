//! Memory of unread pages. It is the memory of the whole process, so this is the only test of its program.

use ws_std::Response;
use ws_tests::{
    Raw, bounded,
    either::{Adapter, Server},
    kernel,
};

const CLIENTS: usize = 64;
const SIZE: usize = 8 << 20;

#[test]
fn a_page_is_in_memory_once_for_64_clients_that_do_not_read_it() {
    bounded(|| {
        for adapter in [Adapter::Std, Adapter::Smol] {
            let page = Response::new(200).body(vec![b'x'; SIZE]);
            let server = Server::new(adapter).page("/", move |_| page.clone()).start();
            kernel::forget_peak();
            let before = kernel::peak_memory();
            let mut raws = (0..CLIENTS).map(|_| Raw::connect(server.address())).collect::<Vec<_>>();
            for raw in &mut raws {
                raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                assert!(raw.head().starts_with("HTTP/1.1 200 "));
            }
            let grown = kernel::peak_memory().saturating_sub(before);
            assert!(grown < SIZE, "{adapter:?}: {grown} bytes for {CLIENTS} clients");
            println!("{adapter:?}: {grown} bytes for {CLIENTS} clients");
            for raw in raws {
                raw.reset();
            }
        }
    });
}
