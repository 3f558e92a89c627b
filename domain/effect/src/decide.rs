use domain_kernel::{Decider, Recorded};

use crate::command::{Action, EffectCommand};
use crate::error::EffectRejection;
use crate::event::{
    EffectAttempted, EffectConfirmed, EffectEvent, EffectFailed, EffectReconciled, EffectRequested,
    EffectUnknown, Evidence,
};
use crate::react::{NoRequest, react};
use crate::state::{EffectState, Phase};

/// One effect, from its first attempt to its attested outcome.
#[derive(Debug)]
pub struct EffectDecider;

impl Decider for EffectDecider {
    type State = EffectState;
    type Command = EffectCommand;
    type Event = EffectEvent;
    type Request = NoRequest;
    type Rejection = EffectRejection;

    fn decide(
        state: &EffectState,
        command: EffectCommand,
    ) -> Result<Vec<EffectEvent>, EffectRejection> {
        let EffectCommand { request, action } = command;
        let event = match action {
            Action::Attempt { attempt } => attempted(state, request, attempt)?,
            Action::Confirm {
                remote_id,
                remote_version,
                properties_sha256,
            } => match state.phase {
                Phase::Confirmed => None,
                Phase::Failed => return Err(ended(state)),
                Phase::Requested => return Err(EffectRejection::NotAttempted),
                Phase::Attempted | Phase::Unknown | Phase::Reconciled { .. } => {
                    let evidence = match state.phase {
                        Phase::Reconciled { .. } => Evidence::Reading,
                        _ => Evidence::Answer,
                    };
                    Some(EffectEvent::Confirmed(EffectConfirmed {
                        effect_id: request.effect_id,
                        workflow_id: request.workflow_id,
                        step: request.step,
                        compensation: request.compensation,
                        connector_id: request.connector_id,
                        remote_id,
                        remote_version,
                        properties_sha256,
                        evidence,
                    }))
                }
            },
            Action::Fail { code, reason } => match state.phase {
                Phase::Failed => None,
                Phase::Confirmed => return Err(ended(state)),
                // While an outcome is in doubt, "failed" would be a guess.
                Phase::Unknown => {
                    return Err(EffectRejection::NotReconciled {
                        attempt: state.attempts,
                    });
                }
                Phase::Requested | Phase::Attempted | Phase::Reconciled { .. } => {
                    Some(EffectEvent::Failed(EffectFailed {
                        effect_id: request.effect_id,
                        workflow_id: request.workflow_id,
                        step: request.step,
                        compensation: request.compensation,
                        connector_id: request.connector_id,
                        code,
                        reason,
                    }))
                }
            },
            Action::Doubt { reason } => match state.phase {
                Phase::Unknown => None,
                Phase::Confirmed | Phase::Failed => return Err(ended(state)),
                Phase::Requested | Phase::Reconciled { .. } => {
                    return Err(EffectRejection::NotAttempted);
                }
                Phase::Attempted => Some(EffectEvent::Unknown(EffectUnknown {
                    effect_id: request.effect_id,
                    workflow_id: request.workflow_id,
                    step: request.step,
                    connector_id: request.connector_id,
                    reason,
                })),
            },
            Action::Reconcile { found, remote_id } => match state.phase {
                Phase::Reconciled { found: known } if known == found => None,
                Phase::Unknown => Some(EffectEvent::Reconciled(EffectReconciled {
                    effect_id: request.effect_id,
                    workflow_id: request.workflow_id,
                    step: request.step,
                    connector_id: request.connector_id,
                    found,
                    remote_id,
                })),
                Phase::Confirmed | Phase::Failed => return Err(ended(state)),
                Phase::Requested | Phase::Attempted | Phase::Reconciled { .. } => {
                    return Err(EffectRejection::NoDoubt);
                }
            },
        };
        Ok(event.into_iter().collect())
    }

    fn evolve(mut state: EffectState, event: &EffectEvent) -> EffectState {
        state.phase = match event {
            EffectEvent::Attempted(attempted) => {
                state.attempts = attempted.attempt;
                Phase::Attempted
            }
            EffectEvent::Confirmed(_) => Phase::Confirmed,
            EffectEvent::Failed(_) => Phase::Failed,
            EffectEvent::Unknown(_) => Phase::Unknown,
            EffectEvent::Reconciled(reconciled) => Phase::Reconciled {
                found: reconciled.found,
            },
        };
        state
    }

    fn react(event: &Recorded<EffectEvent>) -> Vec<NoRequest> {
        react(event)
    }
}

fn attempted(
    state: &EffectState,
    request: EffectRequested,
    attempt: u32,
) -> Result<Option<EffectEvent>, EffectRejection> {
    if state.outcome().is_some() {
        return Err(ended(state));
    }
    if attempt == state.attempts && attempt > 0 {
        return Ok(None);
    }
    if attempt != state.attempts + 1 {
        return Err(EffectRejection::AttemptOutOfOrder {
            attempt,
            last: state.attempts,
        });
    }
    match state.phase {
        // Repeating a call whose outcome is in doubt could do it twice.
        Phase::Unknown => Err(EffectRejection::NotReconciled {
            attempt: state.attempts,
        }),
        _ => Ok(Some(EffectEvent::Attempted(EffectAttempted {
            effect_id: request.effect_id,
            workflow_id: request.workflow_id,
            step: request.step,
            connector_id: request.connector_id,
            operation: request.operation,
            object: request.object,
            external_id: request.external_id,
            attempt,
        }))),
    }
}

fn ended(state: &EffectState) -> EffectRejection {
    EffectRejection::Ended {
        outcome: state.outcome().unwrap_or("open"),
    }
}
