use std::time::Duration;

use domain_effect::{
    Action, EffectCommand, EffectDecider, EffectEvent, EffectRequested, EffectState, Phase,
};
use domain_kernel::{Decider, Recorded, Timestamp};
use futures::future::BoxFuture;
use platform_projector::{CancelReason, Cancellation, Failure, Journal};

use crate::connector::Ownership;
use crate::effect::Interruption;
use crate::executor::SyncExecutor;

/// What is on record about one effect, and the only way to add to it.
pub(crate) struct Ledger<'a> {
    request: EffectRequested,
    state: EffectState,
    journal: &'a Journal<SyncExecutor>,
    cancel: Cancellation,
}

impl<'a> Ledger<'a> {
    pub(crate) fn new(
        request: EffectRequested,
        history: &[Recorded<EffectEvent>],
        journal: &'a Journal<SyncExecutor>,
        cancel: Cancellation,
    ) -> Self {
        let state = history
            .iter()
            .fold(EffectState::default(), |state, recorded| {
                EffectDecider::evolve(state, &recorded.event)
            });
        Self {
            request,
            state,
            journal,
            cancel,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.state.phase.clone()
    }

    pub(crate) const fn attempts(&self) -> u32 {
        self.state.attempts
    }

    /// Decides `action` and appends what follows; returns once it is acknowledged.
    pub(crate) async fn record(&mut self, action: Action) -> Result<(), Failure> {
        let command = EffectCommand {
            request: self.request.clone(),
            action,
        };
        let events = EffectDecider::decide(&self.state, command).map_err(Failure::poison)?;
        for event in events {
            self.journal.record(event.clone()).await?;
            self.state = EffectDecider::evolve(std::mem::take(&mut self.state), &event);
        }
        Ok(())
    }

    /// Fails when another process has taken the effect over, or this one is stopping.
    pub(crate) async fn confirm_ownership(&self) -> Result<(), Failure> {
        self.journal.confirm_ownership().await
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.cancel.reason() == Some(CancelReason::Shutdown)
    }

    pub(crate) fn is_called_off(&self) -> bool {
        self.cancel.reason() == Some(CancelReason::Requested)
    }

    /// Waits, but not past `deadline` nor once the effect is called off.
    ///
    /// # Errors
    /// [`Interruption::Shutdown`] when the process is stopping.
    pub(crate) async fn wait(
        &self,
        wait: Duration,
        deadline: Timestamp,
    ) -> Result<(), Interruption> {
        let left = deadline.as_millis() - platform_telemetry::now().as_millis();
        let wait = wait.min(Duration::from_millis(left.max(0).unsigned_abs()));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = self.cancel.cancelled() => {}
        }
        if self.is_stopping() {
            return Err(Interruption::Shutdown);
        }
        Ok(())
    }
}

impl Ownership for Ledger<'_> {
    fn confirm(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.confirm_ownership().await.is_ok() })
    }
}
