//! The bodies of the fuzz targets. A target compares the core with something simpler: a reference implementation, a
//! codec over the whole buffer, another division of the same bytes, or an invariant. It panics if they differ.
//!
//! The first bytes of an input select settings. The rest is the input from a peer or a list of operations. Without a
//! fuzzer, `cargo test -p ws-fuzz-bodies` runs all targets over `fuzz/corpus`.

mod extensions;
mod frames;
mod handshake_client;
mod handshake_server;
mod head;
mod inflate;
mod operations;
mod proxying;
mod receiving;
mod redirecting;
mod settings;
mod text;

pub use self::{
    extensions::extensions,
    frames::header,
    handshake_client::handshake_client,
    handshake_server::handshake_server,
    inflate::inflate,
    operations::operations,
    proxying::proxy,
    receiving::{receive_client, receive_server, split},
    redirecting::redirect,
    text::utf8,
};

/// A target: its name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 12] = [
    ("header", header),
    ("receive_server", receive_server),
    ("receive_client", receive_client),
    ("split", split),
    ("operations", operations),
    ("handshake_server", handshake_server),
    ("handshake_client", handshake_client),
    ("extensions", extensions),
    ("proxy", proxy),
    ("redirect", redirect),
    ("utf8", utf8),
    ("inflate", inflate),
];
