//! Reproducible random choices.

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns `true` once in `times` calls on average.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Returns a text of about this number of characters of all widths.
    pub(crate) fn text(&mut self, len: usize) -> String {
        (0..len)
            .map(|_| match self.below(6) {
                0 => char::from_u32(0x80 + self.below(0x780) as u32).unwrap_or('ü'),
                1 => char::from_u32(0x800 + self.below(0xF800) as u32).unwrap_or('€'),
                2 => char::from_u32(0x1_0000 + self.below(0x10_0000) as u32).unwrap_or('😀'),
                _ => char::from(b' ' + self.below(95) as u8),
            })
            .collect()
    }
}
