use alloc::string::String;
use core::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};

/// The source of a client's masking keys, of its handshake nonce and of its reconnect delays: 32 bytes of seed, expanded by a
/// ChaCha stream.
///
/// RFC 6455 section 10.3 requires keys that the application (or a script in a page) cannot predict. So the seed must
/// come from the operating system. A fixed seed is suitable for tests and simulations only.
pub(crate) struct Entropy(ChaCha12Rng);

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// Not inlined, because generating the next block of keys is a lot of code.
    #[inline(never)]
    pub(crate) fn masking_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }

    /// Returns a random duration from zero to this one.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        // The upper half of the product is a fraction of the duration.
        let product = u128::from(longest).saturating_mul(self.0.next_u64().into());
        Duration::from_nanos(u64::try_from(product >> 64).unwrap_or(longest))
    }

    /// Returns a value for `Sec-WebSocket-Key`: 16 random bytes in base64 (RFC 6455 4.1).
    pub(crate) fn nonce(&mut self) -> String {
        let mut nonce = [0; 16];
        self.0.fill_bytes(&mut nonce);
        STANDARD.encode(nonce)
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(..)")
    }
}
