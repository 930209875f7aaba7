//! The driver without sockets, under virtual time.

mod closing;
mod output;
mod support;
mod turns;
