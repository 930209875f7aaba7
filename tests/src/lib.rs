#![forbid(unsafe_code)]
//! Shared parts of the tests over whole connections: servers that end with the test, raw sockets with an independent
//! codec for hostile input, foreign peers in other languages, and data of the kernel about this process.
//!
//! All failures in this crate panic, which fails the test.

pub mod besieging;
mod bounded;
pub mod certificates;
pub mod deflating;
pub mod either;
mod folder;
mod foreign_proxy;
pub mod kernel;
pub mod link;
mod peer;
pub mod pipe;
mod process;
mod raw;
mod server;
pub mod siege;
pub mod streams;
pub mod tls;
mod transport;
pub mod wire;

pub use bounded::{SLACK, bounded, eventually, let_pass, takes};
pub use folder::Folder;
pub use foreign_proxy::ForeignProxy;
pub use peer::{Language, Peer, Terms};
pub use process::{Process, bench_program, example_programs, programs, programs_of};
pub use raw::{PATIENCE, Raw, RawListener, Reply};
pub use server::{Handed, HandlerWaits, Running, drain, echo, hand_over, waiting_clients};
pub use transport::Transport;

/// Compiles the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
