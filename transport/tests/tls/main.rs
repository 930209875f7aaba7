//! TLS between two sessions in memory: settings that act or cannot be written, requests of any size, and errors that say what
//! to do.

mod errors;
mod requests;
mod settings;
mod support;
