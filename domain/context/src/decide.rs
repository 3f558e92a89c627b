use std::collections::VecDeque;

use domain_kernel::{Decider, Recorded};

use crate::command::{ContextCommand, Received, Verdict};
use crate::error::ContextRejection;
use crate::event::{ContextEvent, ContextMerged, ContextShared, NotificationEvent};
use crate::guard::claims_apart;
use crate::react::react;
use crate::state::{ContextState, Known, REMEMBERED_MERGES};
use crate::{Claims, KeptApart};

/// One context: shared once, then merged into.
#[derive(Debug)]
pub struct ContextDecider;

impl Decider for ContextDecider {
    type State = ContextState;
    type Command = ContextCommand;
    type Event = ContextEvent;
    type Request = NotificationEvent;
    type Rejection = ContextRejection;

    fn decide(
        state: &ContextState,
        command: ContextCommand,
    ) -> Result<Vec<ContextEvent>, ContextRejection> {
        let ContextCommand { received, verdict } = command;
        let Some(known) = &state.known else {
            return match verdict {
                Verdict::New {
                    neighbour,
                    subscribers,
                } => Ok(vec![ContextEvent::Shared(ContextShared {
                    context_id: received.context_id,
                    space: received.space,
                    kind: received.kind,
                    subject: received.subject,
                    delivery: received.delivery,
                    source_id: received.source_id,
                    content: received.content,
                    content_sha256: received.content_sha256,
                    text: received.text,
                    model_digest: received.model_digest,
                    neighbour,
                    subscribers,
                })]),
                Verdict::Same | Verdict::Near { .. } => Err(ContextRejection::NotShared),
            };
        };
        if known.holds(received.delivery) {
            return Ok(Vec::new());
        }
        compartment_apart(known, &received)?;
        let (cosine, exact) = match verdict {
            // Whoever sent it could not see that the content has been shared meanwhile.
            Verdict::New { .. } if known.content_sha256 == received.content_sha256 => (1.0, true),
            Verdict::New { .. } => return Err(ContextRejection::OtherContent),
            Verdict::Same => (1.0, true),
            Verdict::Near { cosine } => {
                // The index has looked already, and at the figures beside the
                // text too; the stream does not take its word for the text.
                let apart = claims_apart(
                    &Claims::of_text(&known.text),
                    &Claims::of_text(&received.text),
                );
                match apart {
                    Some(why) => return Err(ContextRejection::KeptApart(why)),
                    None => (cosine, false),
                }
            }
        };
        Ok(vec![ContextEvent::Merged(ContextMerged {
            context_id: received.context_id,
            space: received.space,
            kind: received.kind,
            subject: received.subject,
            delivery: received.delivery,
            source_id: received.source_id,
            content: received.content,
            content_sha256: received.content_sha256,
            model_digest: received.model_digest,
            cosine,
            exact,
        })])
    }

    fn evolve(mut state: ContextState, event: &ContextEvent) -> ContextState {
        match event {
            ContextEvent::Shared(shared) => {
                state.known = Some(Known {
                    space: shared.space.clone(),
                    kind: shared.kind.clone(),
                    subject: shared.subject.clone(),
                    content_sha256: shared.content_sha256.clone(),
                    text: shared.text.clone(),
                    delivery: shared.delivery,
                    merged: VecDeque::new(),
                    merges: 0,
                });
            }
            ContextEvent::Merged(merged) => {
                if let Some(known) = &mut state.known {
                    if known.merged.len() == REMEMBERED_MERGES {
                        known.merged.pop_front();
                    }
                    known.merged.push_back(merged.delivery);
                    known.merges += 1;
                }
            }
        }
        state
    }

    fn react(event: &Recorded<ContextEvent>) -> Vec<NotificationEvent> {
        react(event)
    }
}

/// The tenant needs no check: it is part of what the stream's id is derived from,
/// and the runner writes the tenant of the delivery.
fn compartment_apart(known: &Known, received: &Received) -> Result<(), ContextRejection> {
    let why = if known.space != received.space {
        KeptApart::SpaceDiffers
    } else if known.kind != received.kind {
        KeptApart::KindDiffers
    } else if known.subject != received.subject {
        KeptApart::SubjectDiffers
    } else {
        return Ok(());
    };
    Err(ContextRejection::KeptApart(why))
}
