#![forbid(unsafe_code)]
//! A [`Backplane`](ws_chat::Backplane) over Redis: nodes that serve the same rooms.
//!
//! All events go into one stream, whose ids are the order that everybody sees. Who has which name is in a hash
//! that changes only together with the stream, by scripts that run alone; so whoever reads one knows the
//! other. Each node has a writer, which does one thing after the other until Redis has answered, and a
//! reader, which delivers what the stream holds and regularly takes a census.

mod link;
mod node;
mod queue;
mod reader;
mod scripts;
mod writer;

pub use node::{Cluster, Node, RedisBackplane};
pub use redis::RedisError;
