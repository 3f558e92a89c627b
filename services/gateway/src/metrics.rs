//! What the gateway measures. No ids in labels: strangers choose those.

use std::sync::LazyLock;
use std::time::Duration;

use ::metrics::{Counter, Histogram, counter, histogram};
use platform_telemetry::install_recorder;

// What every accepted delivery counts is looked up once.
static ACCEPTED: LazyLock<Counter> = LazyLock::new(|| {
    install_recorder();
    counter!("agentmesh_gateway_deliveries_total", "outcome" => "accepted")
});
static ALLOWED: LazyLock<Counter> = LazyLock::new(|| {
    install_recorder();
    counter!("agentmesh_gateway_policy_decisions_total", "outcome" => "allow")
});
static POLICY_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    install_recorder();
    histogram!("agentmesh_gateway_policy_seconds")
});
static CLAIM_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    install_recorder();
    histogram!("agentmesh_gateway_stage_seconds", "stage" => "claim")
});
static APPEND_SECONDS: LazyLock<Histogram> = LazyLock::new(|| {
    install_recorder();
    histogram!("agentmesh_gateway_stage_seconds", "stage" => "append")
});

/// One answer to `POST /hooks/{source_id}`, by how it ended.
pub(crate) fn answered(outcome: &'static str) {
    match outcome {
        "accepted" => ACCEPTED.increment(1),
        _ => counter!("agentmesh_gateway_deliveries_total", "outcome" => outcome).increment(1),
    }
}

pub(crate) fn signature_failure(reason: &'static str) {
    counter!("agentmesh_gateway_signature_failures_total", "reason" => reason).increment(1);
}

pub(crate) fn unusable_secret() {
    counter!("agentmesh_gateway_unusable_secrets_total").increment(1);
}

/// A delivery that was kept and handed to nobody.
pub(crate) fn quarantined(reason: &'static str) {
    counter!("agentmesh_gateway_quarantined_total", "reason" => reason).increment(1);
}

/// A repeat, by where it was recognised: `local`, `redis` or `postgres`.
pub(crate) fn repeat(recognised_by: &'static str) {
    counter!("agentmesh_gateway_repeats_total", "recognised_by" => recognised_by).increment(1);
}

/// A store that could not be asked about repeats.
pub(crate) fn idempotency_store_away(store: &'static str) {
    counter!("agentmesh_gateway_idempotency_store_errors_total", "store" => store).increment(1);
}

pub(crate) fn policy_decided(outcome: &'static str, took: Duration) {
    match outcome {
        "allow" => ALLOWED.increment(1),
        _ => {
            counter!("agentmesh_gateway_policy_decisions_total", "outcome" => outcome).increment(1);
        }
    }
    POLICY_SECONDS.record(took.as_secs_f64());
}

/// A request turned away because a limit was reached, by the policy.
pub(crate) fn rate_limited(policy: &'static str) {
    counter!("agentmesh_gateway_rate_limited_total", "policy" => policy).increment(1);
}

/// A limit that was kept by this process alone because Redis could not tell.
pub(crate) fn rate_limit_degraded() {
    counter!("agentmesh_gateway_rate_limit_degraded_total").increment(1);
}

/// A request turned away before anything was made of it: `queue` or `requests`
/// were too many, or of the bodies `arriving` it was the slowest.
pub(crate) fn shed(reason: &'static str) {
    counter!("agentmesh_gateway_shed_total", "reason" => reason).increment(1);
}

/// How long it took until it was known whether an accepted delivery is the first.
pub(crate) fn claimed(took: Duration) {
    CLAIM_SECONDS.record(took.as_secs_f64());
}

/// How long it took until the log had an accepted delivery.
pub(crate) fn appended(took: Duration) {
    APPEND_SECONDS.record(took.as_secs_f64());
}

/// A refusal that was not recorded because too many came at once.
pub(crate) fn refusal_dropped() {
    counter!("agentmesh_gateway_refusals_dropped_total").increment(1);
}

/// One answer to an invocation, by how it ended.
pub(crate) fn invoked(outcome: &'static str) {
    counter!("agentmesh_gateway_invocations_total", "outcome" => outcome).increment(1);
}

/// What an invocation took beside the agent's own time.
pub(crate) fn invoke_overhead(took: Duration) {
    histogram!("agentmesh_gateway_invoke_overhead_seconds").record(took.as_secs_f64());
}

pub(crate) fn policy_unanswered() {
    counter!("agentmesh_gateway_policy_decisions_total", "outcome" => "unavailable").increment(1);
}
