//! What each fuzz target does with its bytes. A target holds the core against something that is simpler: a
//! reference, a whole-buffer codec, another way to cut the same bytes, an invariant. It panics when they differ.
//!
//! The first bytes of an input choose settings, the rest is what a peer sends or what the two ends do. Without a
//! fuzzer, `cargo test -p ws-fuzz-bodies` runs all targets over `fuzz/corpus`.

mod extensions;
mod frames;
mod handshake_client;
mod handshake_server;
mod head;
mod inflate;
mod operations;
mod receiving;
mod settings;
mod text;

pub use self::{
    extensions::extensions,
    frames::header,
    handshake_client::handshake_client,
    handshake_server::handshake_server,
    inflate::inflate,
    operations::operations,
    receiving::{receive_client, receive_server, split},
    text::utf8,
};

/// A target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("header", header),
    ("receive_server", receive_server),
    ("receive_client", receive_client),
    ("split", split),
    ("operations", operations),
    ("handshake_server", handshake_server),
    ("handshake_client", handshake_client),
    ("extensions", extensions),
    ("utf8", utf8),
    ("inflate", inflate),
];
