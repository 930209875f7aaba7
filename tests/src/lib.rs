#![forbid(unsafe_code)]
//! What the tests of whole connections share: servers that end with the test, raw sockets with a codec of
//! their own to be hostile with, foreign peers in other languages, and what the kernel knows about us.
//!
//! Whatever fails here panics, as it should in a test.

mod bounded;
pub mod certificates;
pub mod deflating;
pub mod either;
mod folder;
pub mod kernel;
pub mod link;
mod peer;
pub mod pipe;
mod process;
mod raw;
mod server;
pub mod siege;
pub mod tls;
pub mod wire;

pub use bounded::{SLACK, bounded, eventually, let_pass, takes};
pub use folder::Folder;
pub use peer::{Language, Peer, Terms};
pub use process::{Process, programs, programs_of};
pub use raw::{PATIENCE, Raw, RawListener, Reply};
pub use server::{Handed, HandlerWaits, Running, drain, echo, hand_over, waiting_clients};

/// The README's programs, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
