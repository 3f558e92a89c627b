//! One effect, from its request to its attested outcome.
//!
//! An attempt is on the log before the call is made, so that a crash in between
//! leaves a doubt and not a gap. A doubt is settled by reading the remote
//! record, and only when it is not there is the write repeated.

use std::time::Duration;

use domain_effect::{Action, EffectRequested, Phase};
use platform_projector::Failure;
use platform_resilience::Backoff;

use crate::connector::{CallError, Written};
use crate::connectors::Opened;
use crate::ledger::Ledger;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// Calls that are held back ask again this often at the latest: whether they
/// still are is known without a call.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why work on an effect stops before its outcome.
pub(crate) enum Interruption {
    /// The process is stopping; the effect is taken up again later.
    Shutdown,
    Failed(Failure),
}

impl From<Failure> for Interruption {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

pub(crate) async fn carry_out(
    effect: &EffectRequested,
    opened: &Opened,
    ledger: &mut Ledger<'_>,
) -> Result<(), Interruption> {
    if ledger.phase() == Phase::Attempted {
        // Recovered: the last attempt's answer, if there was one, is lost.
        doubt(ledger, "interrupted before the answer was recorded").await?;
    }
    loop {
        match ledger.phase() {
            Phase::Confirmed | Phase::Failed => return Ok(()),
            Phase::Unknown => reconcile(effect, opened, ledger).await?,
            Phase::Reconciled { found: true } => confirm_found(effect, opened, ledger).await?,
            Phase::Requested | Phase::Attempted | Phase::Reconciled { found: false } => {
                attempt(effect, opened, ledger).await?;
            }
        }
    }
}

/// Makes one attempt, unless there is a reason not to.
async fn attempt(
    effect: &EffectRequested,
    opened: &Opened,
    ledger: &mut Ledger<'_>,
) -> Result<(), Interruption> {
    if ledger.attempts() >= opened.max_attempts {
        let reason = format!("not done in {} attempts", opened.max_attempts);
        return Ok(fail(ledger, "unavailable".to_owned(), reason).await?);
    }
    if let Some((code, reason)) = reason_to_stop(effect, ledger)? {
        return Ok(fail(ledger, code, reason).await?);
    }
    let attempt = ledger.attempts() + 1;
    ledger.record(Action::Attempt { attempt }).await?;
    loop {
        return match opened.connector.write(effect, &*ledger).await {
            Ok(written) => Ok(confirm(effect, ledger, written).await?),
            Err(CallError::NotOurs) => {
                ledger.confirm_ownership().await?;
                continue;
            }
            Err(CallError::Refused { code, reason }) => {
                Ok(fail(ledger, code.to_owned(), reason).await?)
            }
            // Waiting first gives a slow system time to finish what it began.
            Err(CallError::InDoubt { reason }) => {
                doubt(ledger, &reason).await?;
                ledger
                    .wait(BACKOFF.jittered(attempt), effect.deadline)
                    .await
            }
            Err(CallError::Held { retry_after, .. }) => {
                ledger
                    .wait(retry_after.min(LOOK_AGAIN), effect.deadline)
                    .await?;
                match reason_to_stop(effect, ledger)? {
                    Some((code, reason)) => Ok(fail(ledger, code, reason).await?),
                    // No call was made, so it is still the same attempt.
                    None => continue,
                }
            }
            Err(CallError::NotDone {
                reason,
                retry_after,
            }) => {
                tracing::info!(
                    effect.id = %effect.effect_id,
                    effect.attempt = attempt,
                    error = %reason,
                    "effect not done, will be tried again"
                );
                if attempt >= opened.max_attempts {
                    return Ok(fail(ledger, "unavailable".to_owned(), reason).await?);
                }
                let wait = BACKOFF
                    .jittered(attempt)
                    .max(retry_after.unwrap_or_default());
                ledger.wait(wait, effect.deadline).await
            }
        };
    }
}

/// Code and reason of giving up between calls.
pub(crate) fn reason_to_stop(
    effect: &EffectRequested,
    ledger: &Ledger<'_>,
) -> Result<Option<(String, String)>, Interruption> {
    if ledger.is_stopping() {
        return Err(Interruption::Shutdown);
    }
    let stop = if ledger.is_called_off() {
        Some(("cancelled", "called off before it was done"))
    } else if platform_telemetry::now() >= effect.deadline {
        Some(("deadline", "the deadline passed before it was done"))
    } else {
        None
    };
    Ok(stop.map(|(code, reason)| (code.to_owned(), reason.to_owned())))
}

/// Reads the remote record to settle a doubt. Neither the deadline nor a
/// cancellation ends this: whoever asked must learn what is there.
async fn reconcile(
    effect: &EffectRequested,
    opened: &Opened,
    ledger: &mut Ledger<'_>,
) -> Result<(), Interruption> {
    if ledger.is_stopping() {
        return Err(Interruption::Shutdown);
    }
    let found = find(effect, opened).await?;
    ledger
        .record(Action::Reconcile {
            found: found.is_some(),
            remote_id: found.as_ref().map(|written| written.remote_id.clone()),
        })
        .await?;
    match found {
        Some(written) => Ok(confirm(effect, ledger, written).await?),
        None => Ok(()),
    }
}

/// Found before a crash, confirmed after it: the remote version has to be read again.
async fn confirm_found(
    effect: &EffectRequested,
    opened: &Opened,
    ledger: &mut Ledger<'_>,
) -> Result<(), Interruption> {
    match find(effect, opened).await? {
        Some(written) => Ok(confirm(effect, ledger, written).await?),
        // Somebody else changed it since; the write was there, which is what counts.
        None => Ok(confirm(
            effect,
            ledger,
            Written {
                remote_id: effect.external_id.clone(),
                remote_version: "superseded".to_owned(),
            },
        )
        .await?),
    }
}

async fn find(effect: &EffectRequested, opened: &Opened) -> Result<Option<Written>, Failure> {
    match opened.connector.find(effect).await {
        Ok(found) => Ok(found),
        // Nothing may be concluded from not being able to read: it is asked again later.
        Err(error) => Err(Failure::transient(error)),
    }
}

async fn confirm(
    effect: &EffectRequested,
    ledger: &mut Ledger<'_>,
    written: Written,
) -> Result<(), Failure> {
    ledger
        .record(Action::Confirm {
            remote_id: written.remote_id,
            remote_version: written.remote_version,
            properties_sha256: crate::digest(effect.properties.as_str()),
        })
        .await
}

pub(crate) async fn fail(
    ledger: &mut Ledger<'_>,
    code: String,
    reason: String,
) -> Result<(), Failure> {
    ledger.record(Action::Fail { code, reason }).await
}

async fn doubt(ledger: &mut Ledger<'_>, reason: &str) -> Result<(), Failure> {
    ledger
        .record(Action::Doubt {
            reason: reason.to_owned(),
        })
        .await
}
