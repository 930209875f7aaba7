use std::time::Duration;

/// Limits for each client and for the server.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Maximum length of a nickname in characters. Default: 24.
    pub nick: usize,
    /// Maximum length of a message in characters. Default: 1,000.
    pub text: usize,
    /// Maximum number of messages in one burst. Default: 10.
    pub burst: u32,
    /// Time after which a client may send one more message. Default: 500 ms.
    pub period: Duration,
    /// Number of refused messages after which a connection is closed with 1008. Messages that were refused because the
    /// backplane is unavailable are not counted. Default: 100.
    pub refusals: u32,
    /// Maximum number of rooms beside the lobby, including empty rooms that still have a history. Default: 1,000.
    pub rooms: usize,
    /// Maximum number of connections to other rooms than the lobby. The remaining connections of the server are
    /// reserved for the lobby. Default: 3,072, three quarters of the connections that a server accepts by default.
    pub outside_lobby: usize,
    /// Maximum number of messages that each room keeps for clients that join or reconnect. The kept messages of a room
    /// have at most 52,000 bytes. Default: 50.
    pub history: usize,
}

impl Limits {
    /// Reduces [`outside_lobby`](Self::outside_lobby) to three quarters of the file descriptors of the process.
    #[must_use]
    pub fn fit(self, descriptors: u64) -> Self {
        let places = usize::try_from(descriptors / 4 * 3).unwrap_or(usize::MAX);
        Self { outside_lobby: self.outside_lobby.min(places), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nick: 24,
            text: 1000,
            burst: 10,
            period: Duration::from_millis(500),
            refusals: 100,
            rooms: 1000,
            outside_lobby: 3072,
            history: 50,
        }
    }
}
