//! Settings that the first byte of an input selects.

use std::sync::Arc;

use ws_core::{Config, Connection, Deflate, Delivery, Role, client::Request, server::Accept, testing::Pair};

/// Returns the first byte and the rest. Returns zero and an empty slice for an empty input.
pub(crate) fn split_first(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// Selects tight or loose limits, and delivery in messages or chunks.
pub(crate) fn config(byte: u8) -> Config {
    let mut config = Config::default();
    config.max_message_size = [1 << 20, usize::MAX, 100, 1000][usize::from(byte & 3)];
    config.max_frame_size = [usize::MAX, 1 << 16, 50, 125][usize::from(byte >> 2 & 3)];
    config.max_fragments = if byte & 16 == 0 { 1024 } else { 3 };
    config.delivery = if byte & 32 == 0 { Delivery::Messages } else { Delivery::Chunks };
    config
}

/// Selects the same with compression, if the peer agrees.
pub(crate) fn compressing(mut config: Config, change: impl FnOnce(&mut Deflate)) -> Arc<Config> {
    let mut deflate = Deflate::default();
    deflate.threshold = 0;
    change(&mut deflate);
    config.deflate = Some(deflate);
    Arc::new(config)
}

/// Returns two ends after a handshake.
pub(crate) fn handshake(client: Arc<Config>, server: Arc<Config>) -> Pair {
    let request = Request::new("ws://host/".parse().expect("a URL"));
    Pair::handshake(&request, &Accept::new(), client, server).expect("two ends that agree")
}

/// Returns a connection that negotiated compression.
pub(crate) fn compressed(role: Role, config: Arc<Config>) -> Connection {
    let (client, server) = handshake(config.clone(), config).into_connections();
    match role {
        Role::Client => client,
        Role::Server => server,
    }
}

/// Reads sizes of pieces from the first bytes. Returns them and the rest.
pub(crate) fn sizes(data: &[u8]) -> (Vec<usize>, &[u8]) {
    let (count, rest) = split_first(data);
    let (sizes, rest) = rest.split_at(rest.len().min(usize::from(count % 8)));
    (sizes.iter().map(|&size| usize::from(size)).collect(), rest)
}
