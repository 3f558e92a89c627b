//! The guards of the protocol that the simulation can take away, one at a time,
//! to show that it would notice. Outside of its tests all of them always stand.

/// What keeps a crash, a zombie or a lost answer from doing harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// A commit is refused when somebody else has claimed the partition since.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "Postgres has no way to leave it out")
    )]
    Generation,
    /// What was appended must stand where this owner's topic ended.
    Position,
    /// A new owner appends again what follows from the events it finds.
    Reemission,
    /// A decision of several events is noted before the first of them goes out.
    Intent,
    /// Of a stream one event is on its way at a time.
    OneAtATime,
    /// What a decision rests on was read by who was the owner then.
    Reading,
    /// A store outside of Postgres refuses a generation lower than one it has seen.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the stores have no way to leave it out")
    )]
    StoreGeneration,
    /// Such a store learns the generation with the claim, not with the first write.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the stores have no way to leave it out")
    )]
    StoreClaim,
    /// Such a store that was flushed is noticed, by a write or while idle.
    Flush,
}

#[cfg(not(test))]
pub(crate) const fn stands(_guard: Guard) -> bool {
    true
}

#[cfg(test)]
pub(crate) use planted::{stands, without};

#[cfg(test)]
mod planted {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        static MISSING: Cell<Option<Guard>> = const { Cell::new(None) };
    }

    pub(crate) fn stands(guard: Guard) -> bool {
        MISSING.get() != Some(guard)
    }

    /// From now on, in this thread.
    pub(crate) fn without(guard: Option<Guard>) {
        MISSING.set(guard);
    }
}
