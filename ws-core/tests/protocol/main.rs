//! The promises of ws-core, as one program: tables after the sections of RFC 6455, and properties that
//! hold for whatever a peer sends, however the network cuts it and in whatever order the calls come.

mod agreement;
mod any_order;
mod chunked_sending;
mod client_refusal;
mod client_request;
mod client_response;
mod closing;
mod deadlines;
mod debug_output;
mod differential;
mod draining;
mod embedding;
mod endings;
mod errors;
mod fragmentation;
mod framing;
mod in_place;
mod keepalive;
mod limits;
mod pairs;
mod pings;
mod progress;
mod replies;
mod round_trip;
mod routes;
mod sending;
mod server_answer;
mod server_head;
mod server_upgrade;
mod site;
mod splitting;
mod support;
mod transmit;
mod utf8;
mod values;
