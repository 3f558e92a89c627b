/// A header that every record of ours has, or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known(u8);

/// In the order in which our records have them.
const NAMES: [&str; Known::COUNT] = [
    "ce_specversion",
    "ce_id",
    "ce_type",
    "ce_source",
    "ce_time",
    "ce_subject",
    "content-type",
    "mesh-tenant",
    "mesh-correlation",
    "mesh-causation",
    "mesh-version",
    "traceparent",
    "mesh-actor",
];

impl Known {
    pub(super) const COUNT: usize = 13;

    pub(super) const SPEC_VERSION: Self = Self(0);
    pub(super) const ID: Self = Self(1);
    pub(super) const TYPE: Self = Self(2);
    pub(super) const SOURCE: Self = Self(3);
    pub(super) const TIME: Self = Self(4);
    pub(super) const SUBJECT: Self = Self(5);
    pub(super) const CONTENT_TYPE: Self = Self(6);
    pub(super) const TENANT: Self = Self(7);
    pub(super) const CORRELATION: Self = Self(8);
    pub(super) const CAUSATION: Self = Self(9);
    pub(super) const VERSION: Self = Self(10);
    pub(super) const TRACEPARENT: Self = Self(11);
    pub(super) const ACTOR: Self = Self(12);

    pub(super) const fn as_str(self) -> &'static str {
        NAMES[self.index()]
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }

    /// `expected` is how many headers come before it: where one of ours has as many
    /// before it as is usual, one look is enough.
    pub(super) fn find(name: &str, expected: usize) -> Option<Self> {
        // What a record lacks, such as a causation, moves those behind it up.
        (expected..Self::COUNT)
            .chain(0..expected.min(Self::COUNT))
            .find(|index| NAMES[*index] == name)
            .and_then(|index| u8::try_from(index).ok())
            .map(Self)
    }

    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::COUNT).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_wherever_it_stands() {
        for known in Known::all() {
            for expected in [known.index(), 0, 12, 13, 99] {
                assert_eq!(Known::find(known.as_str(), expected), Some(known));
            }
        }
        assert_eq!(Known::find("x-other", 3), None);
        assert_eq!(Known::find("", 0), None);
    }
}
