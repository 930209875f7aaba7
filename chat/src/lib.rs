#![forbid(unsafe_code)]
//! The rooms of the chat servers among the examples: who is where, what was said, and the page.
//!
//! It knows neither sockets nor threads. A server mounts [`Chat::callbacks`] on `/` and `/:room`, serves
//! [`pages`] beside them, and that is all. What is posted goes through a [`Backplane`], which gives each
//! event its place in the order that everybody sees: within one process at once, between several by what
//! connects them.
//!
//! Clients and server exchange objects in JSON; see [`protocol`].

mod backplane;
mod bucket;
mod chat;
mod nick;
mod pages;
pub mod protocol;
mod room;
mod visit;

pub use backplane::{Backplane, Claim, Local};
pub use chat::{Chat, Limits};
pub use nick::fold;
pub use pages::{Page, pages};
pub use visit::{Heard, Visit};
