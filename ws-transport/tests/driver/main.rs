//! The driver without sockets, under virtual time.

mod closing;
mod output;
mod reconnecting;
mod support;
mod turns;
