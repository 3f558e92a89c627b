//! What older versions of an event leave unsaid, and what that means today.
//!
//! An older datum is read with the schema it was written with; a field it does
//! not have is absent in the published struct. Here is what absence becomes, one
//! function a field that came later, so that nobody has to guess it from a
//! mapping. None of them may change what an old event does to a state.

use domain_effect::Evidence;

use crate::value::{Text, Unmappable};

/// `EffectConfirmed` since version 2: version 1 does not say what it rests on.
/// Which of the two it was can be seen in its stream, where a reading leaves an
/// `EffectReconciled`; the event alone does not tell, and so it says nothing.
pub(crate) fn evidence(published: Option<Text<'_>>) -> Result<Evidence, Unmappable> {
    match published.as_deref() {
        None => Ok(Evidence::Unstated),
        Some(text) => [Evidence::Answer, Evidence::Reading]
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| Unmappable::Value {
                field: "evidence",
                found: text.to_owned(),
            }),
    }
}

/// The other way round: what is unstated is left out.
pub(crate) fn evidence_stated(evidence: Evidence) -> Option<Text<'static>> {
    match evidence {
        Evidence::Unstated => None,
        stated => Some(stated.as_str().into()),
    }
}
