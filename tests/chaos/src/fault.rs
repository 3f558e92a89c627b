use futures::future::BoxFuture;

use crate::{Scene, Stand};

type Run = for<'a> fn(&'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>>;

/// One way to break something.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Of the table in RELIABILITY.md.
    pub code: &'static str,
    pub name: &'static str,
    /// Why it cannot be done here, if it cannot.
    pub needs: Option<fn(&Stand) -> Option<String>>,
    /// Whether the short profile leaves it out, because it has one of its kind.
    pub only_long: bool,
    /// What the oracle must find: nothing lost and nothing twice, but where that
    /// was planted.
    pub expected: (usize, usize),
    /// Breaks it and mends it. Returns when the mesh is whole again, or has all
    /// it needs to become so.
    pub run: Run,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.name)
    }
}

impl Fault {
    pub const fn new(code: &'static str, name: &'static str, run: Run) -> Self {
        Self {
            code,
            name,
            needs: None,
            only_long: false,
            expected: (0, 0),
            run,
        }
    }

    /// One for which the short profile has no time.
    #[must_use]
    pub const fn only_long(mut self) -> Self {
        self.only_long = true;
        self
    }

    /// One that some machines do not allow.
    #[must_use]
    pub const fn needing(mut self, needs: fn(&Stand) -> Option<String>) -> Self {
        self.needs = Some(needs);
        self
    }

    /// One that plants losses and duplicates, for the oracle to find.
    #[must_use]
    pub const fn expecting(mut self, lost: usize, duplicated: usize) -> Self {
        self.expected = (lost, duplicated);
        self
    }

    /// Code and name in one word, for ids.
    pub fn id(&self) -> String {
        let text = format!("{}-{}", self.code, self.name);
        text.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect()
    }
}
