use std::fmt;

use sha2::{Digest as _, Sha256};

/// A digest over rows that does not depend on their order: the SHA-256 of each
/// row, summed modulo 2^256. A row that is there twice counts twice.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Self::default();
        for row in rows {
            digest.add(row);
        }
        digest
    }

    /// Adds one row.
    pub fn add(&mut self, row: &str) {
        self.plus(&Sha256::digest(row.as_bytes()).into());
    }

    /// Adds the rows of another.
    pub fn merge(&mut self, other: &Self) {
        self.plus(&other.0);
    }

    fn plus(&mut self, addend: &[u8; 32]) {
        let mut carry = 0u16;
        for (sum, byte) in self.0.iter_mut().zip(addend).rev() {
            let total = u16::from(*sum) + u16::from(*byte) + carry;
            *sum = (total & 0xff) as u8;
            carry = total >> 8;
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_content_does() {
        assert_eq!(Digest::of(["a", "b", "c"]), Digest::of(["c", "a", "b"]));
        assert_ne!(Digest::of(["a", "b"]), Digest::of(["a", "c"]));
        assert_ne!(Digest::of(["a"]), Digest::of(["a", "a"]));
        assert_eq!(Digest::of([]).to_string(), "0".repeat(64));
    }

    #[test]
    fn one_row_is_its_sha_256() {
        assert_eq!(
            Digest::of(["abc"]).to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn carries_run_through_all_bytes() {
        let mut full = Digest([0xff; 32]);
        full.add("abc");
        // All ones is minus one, so adding a hash gives the hash minus one.
        assert_eq!(
            full.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ac"
        );
    }
}
