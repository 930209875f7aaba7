//! TLS between two sessions in memory: settings that have an effect or cannot be expressed, requests of any size, and
//! errors that contain the remedy.

mod errors;
mod requests;
mod settings;
mod support;
