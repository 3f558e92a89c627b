use crate::{Entry, Status};

/// Which letters are meant; what is not named does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub consumer: Option<String>,
    /// Of the record, without any prefix.
    pub topic: Option<String>,
    /// The name of the event: `EffectRequested`.
    pub event: Option<String>,
    pub tenant: Option<String>,
    /// A part of the reason.
    pub reason: Option<String>,
    pub open_only: bool,
}

impl Filter {
    pub fn matches(&self, entry: &Entry) -> bool {
        let letter = &entry.letter;
        let tenant = letter.original.header("mesh-tenant");
        is(self.consumer.as_deref(), Some(&letter.consumer))
            && is(self.topic.as_deref(), Some(&letter.original.topic))
            && is(self.event.as_deref(), entry.event())
            && is(self.tenant.as_deref(), tenant)
            && self
                .reason
                .as_deref()
                .is_none_or(|part| letter.reason.contains(part))
            && (!self.open_only || entry.status() == Status::Open)
    }
}

fn is(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none() || wanted == found
}
