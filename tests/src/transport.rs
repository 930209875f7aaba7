//! The choice between `ws://` and `wss://`.

/// The transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, for `ws://`.
    Plain,
    /// TLS over TCP, for `wss://`.
    Tls,
}

impl Transport {
    /// Both transports.
    pub const BOTH: [Self; 2] = [Self::Plain, Self::Tls];

    /// Returns `true` for TLS.
    pub fn is_tls(self) -> bool {
        self == Self::Tls
    }
}
