#![forbid(unsafe_code)]
//! A [`Backplane`](ws_chat::Backplane) on Redis: several nodes serve the same rooms.
//!
//! All events go into one Redis stream, and the ids of the stream define the order that all members see. A hash
//! assigns each name to one client. Lua scripts change the hash and the stream together. Redis runs one script at a
//! time, so both always agree. Each node has a writer and a reader. The writer sends one batch at a time and waits
//! for Redis to answer it. The reader delivers the events of the stream and regularly takes a census of the members.

mod link;
mod node;
mod queue;
mod reader;
mod scripts;
mod writer;

pub use node::{Cluster, Node, RedisBackplane};
pub use redis::RedisError;
