#![forbid(unsafe_code)]
//! The chat rooms of the example servers: membership, message history, and the web page.
//!
//! This crate uses neither sockets nor threads. A server mounts [`Chat::callbacks`] on `/` and `/:room` and serves
//! [`pages`] beside them. Each event passes through a [`Backplane`], which assigns it a position in the order that
//! all members see. [`Local`] does that at once within one process. A chat that runs on several processes needs a
//! backplane that connects them.
//!
//! Clients and servers exchange JSON objects. See [`protocol`].

mod backplane;
mod bucket;
mod chat;
mod limits;
mod nick;
mod pages;
pub mod protocol;
mod room;
mod rooms;
mod visit;
mod visitor;

pub use backplane::{Backplane, Claim, Local};
pub use chat::{Chat, Holder};
pub use limits::Limits;
pub use nick::fold;
pub use pages::{Page, pages};
pub use visit::{Output, Visit, reconnect_policy};
