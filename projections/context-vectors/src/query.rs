use domain_context::{Neighbour, Profile, kept_apart};
use domain_kernel::{ContextId, EventId};
use platform_embed::Embedder;

use crate::{Error, PartitionIndex};

/// Neighbours of the same subject that are considered for a merge.
const CONSIDERED: usize = 16;

/// A delivery whose place is sought.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub delivery: EventId,
    /// The context its content makes when nothing says the same.
    pub context_id: ContextId,
    pub profile: Profile,
    pub text: String,
}

/// Where a delivery belongs.
#[derive(Debug, Clone, PartialEq)]
pub enum Placement {
    /// Where it is already: it has been here before.
    Placed(ContextId),
    /// Into the context that has held this very content.
    Same(ContextId),
    /// Into the context that says the same in other words.
    Near { into: ContextId, cosine: f64 },
    /// Into a context of its own.
    New { neighbour: Option<Neighbour> },
}

/// Looks a candidate up in several indexes of one partition as if they were one.
/// Only a candidate whose content is not known is embedded.
pub(crate) fn place(
    indexes: &[&PartitionIndex],
    candidate: &Candidate,
    embedder: &dyn Embedder,
    threshold: f64,
) -> Result<Placement, Error> {
    if let Some(known) = known(indexes, candidate) {
        return Ok(known);
    }
    let vector = embedder.embed(&candidate.text);
    if vector.iter().all(|x| *x == 0.0) {
        return Ok(Placement::New { neighbour: None });
    }
    let mut of_subject = Vec::new();
    let mut of_space = Vec::new();
    for index in indexes {
        of_subject.extend(index.near_subject(&candidate.profile, &vector, CONSIDERED)?);
        of_space.extend(index.near_space(&candidate.profile, &vector, 1)?);
    }
    of_subject.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut nearest: Option<Neighbour> = None;
    for (entry, cosine) in of_subject.into_iter().chain(of_space) {
        let apart = kept_apart(&candidate.profile, &entry.profile, cosine, threshold);
        let Some(why) = apart else {
            return Ok(Placement::Near {
                into: entry.context_id,
                cosine,
            });
        };
        if nearest.as_ref().is_none_or(|known| cosine > known.cosine) {
            nearest = Some(Neighbour {
                context_id: entry.context_id,
                cosine,
                kept_apart: why.to_string(),
            });
        }
    }
    Ok(Placement::New { neighbour: nearest })
}

fn known(indexes: &[&PartitionIndex], candidate: &Candidate) -> Option<Placement> {
    let first =
        |find: &dyn Fn(&PartitionIndex) -> Option<ContextId>| indexes.iter().find_map(|i| find(i));
    if let Some(context_id) = first(&|index| index.placed(candidate.delivery)) {
        return Some(Placement::Placed(context_id));
    }
    first(&|index| index.holding(candidate.context_id)).map(Placement::Same)
}
