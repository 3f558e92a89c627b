/// What is random in a test (SplitMix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// Of each length that takes one byte to say, two or three.
    pub(crate) fn text(&mut self) -> String {
        let most = [1, 8, 66, 200, 9_000][[0, 1, 1, 1, 1, 2, 2, 3, 3, 4][self.below(10)]];
        (0..self.below(most))
            .map(|_| ['a', '0', '\0', 'ü', '€', '😀'][self.below(6)])
            .collect()
    }

    pub(crate) fn maybe<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| some(self))
    }

    /// With some bytes changed, and every other time cut short.
    pub(crate) fn spoilt(&mut self, datum: &[u8]) -> Vec<u8> {
        let mut spoilt = datum.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(spoilt.len());
            spoilt[at] = self.below(256) as u8;
        }
        spoilt.truncate(datum.len() - self.below(2) * self.below(datum.len()));
        spoilt
    }
}

/// Asks of every end, every byte with every value, and a length made longer. Some
/// of it must be an event still, or nothing was shown.
pub(crate) fn try_every_byte_and_end(datum: &[u8], is_event: impl Fn(&[u8]) -> bool) {
    let mut events = 0;
    for at in 0..datum.len() {
        assert!(!is_event(&datum[..at]), "{at}");
        let mut spoilt = datum.to_vec();
        for byte in 0..=u8::MAX {
            spoilt[at] = byte;
            events += usize::from(is_event(&spoilt));
        }
        let mut longer = datum.to_vec();
        longer.insert(at, 0x80);
        is_event(&longer);
    }
    assert!(events > datum.len(), "{events}");
    assert!(!is_event(&[datum, &[0]].concat()));
}
