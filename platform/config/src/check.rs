//! What types cannot say about a setting.

use crate::{Error, Settings};

pub(crate) fn settings(settings: &Settings) -> Result<(), Error> {
    let kafka = &settings.kafka;
    not_empty("kafka.brokers", &kafka.brokers)?;
    at_least_one("kafka.partitions", u64::from(kafka.partitions))?;
    at_least_one("kafka.replication", u64::from(kafka.replication))?;
    at_least_one(
        "kafka.queue_max_messages",
        u64::from(kafka.queue_max_messages),
    )?;
    at_least_one(
        "kafka.message_timeout_ms",
        u64::from(kafka.message_timeout_ms),
    )?;
    if kafka.min_insync_replicas > kafka.replication {
        return invalid(
            "kafka.min_insync_replicas",
            format!("must not exceed kafka.replication ({})", kafka.replication),
        );
    }
    if !kafka.topic_prefix.bytes().all(is_topic_byte) {
        return invalid(
            "kafka.topic_prefix",
            "may hold letters, digits, `.`, `_` and `-` only".to_owned(),
        );
    }
    url(
        "schema_registry.url",
        &settings.schema_registry.url,
        &["http", "https"],
    )?;
    at_least_one(
        "schema_registry.timeout_ms",
        settings.schema_registry.timeout_ms,
    )?;
    not_empty("postgres.url", &settings.postgres.url)?;
    at_least_one("postgres.pool_size", settings.postgres.pool_size as u64)?;
    not_empty("redis.url", &settings.redis.url)?;
    let letters = &settings.dead_letters;
    at_least_one("dead_letters.attempts", u64::from(letters.attempts))?;
    at_least_one("dead_letters.first_pause_ms", letters.first_pause_ms)?;
    if letters.longest_pause_ms < letters.first_pause_ms {
        return invalid(
            "dead_letters.longest_pause_ms",
            format!(
                "must not be shorter than dead_letters.first_pause_ms ({})",
                letters.first_pause_ms
            ),
        );
    }
    if let Some(public) = &settings.gateway.public_url {
        url("gateway.public_url", public, &["http", "https"])?;
    }
    at_least_one(
        "gateway.max_body_bytes",
        settings.gateway.max_body_bytes as u64,
    )?;
    at_least_one(
        "gateway.request_timeout_ms",
        settings.gateway.request_timeout_ms,
    )?;
    let (wait, timeout) = (
        settings.gateway.invoke_wait_ms,
        settings.gateway.request_timeout_ms,
    );
    // A request is cut off after three times its timeout, whatever it waits for.
    if wait.saturating_add(5_000) > timeout.saturating_mul(3) {
        return invalid(
            "gateway.invoke_wait_ms",
            format!(
                "must be at least 5 s below three times gateway.request_timeout_ms ({timeout})"
            ),
        );
    }
    at_least_one(
        "gateway.invoke_concurrency",
        settings.gateway.invoke_concurrency as u64,
    )?;
    at_least_one(
        "gateway.batch_max_events",
        settings.gateway.batch_max_events as u64,
    )?;
    let threshold = settings.federation.merge_threshold;
    if !(0.0..=1.0).contains(&threshold) {
        return invalid(
            "federation.merge_threshold",
            format!("must be from 0 to 1, not {threshold}"),
        );
    }
    at_least_one("workflow.tick_ms", settings.workflow.tick_ms)?;
    at_least_one(
        "workflow.compensation_attempts",
        u64::from(settings.workflow.compensation_attempts),
    )?;
    at_least_one("agents.concurrency", settings.agents.concurrency as u64)?;
    url(
        "agents.federation_url",
        &settings.agents.federation_url,
        &["http", "https"],
    )?;
    at_least_one("sync.concurrency", settings.sync.concurrency as u64)?;
    let format = settings.telemetry.log_format.as_str();
    if !matches!(format, "text" | "json") {
        return invalid(
            "telemetry.log_format",
            format!("must be `text` or `json`, not `{format}`"),
        );
    }
    if let Some(endpoint) = &settings.telemetry.otlp_endpoint {
        url("telemetry.otlp_endpoint", endpoint, &["http", "https"])?;
    }
    identity(settings)
}

/// Whoever can reach a port from elsewhere must show who they are.
fn identity(settings: &Settings) -> Result<(), Error> {
    let identity = &settings.identity;
    let short = |key: &crate::Secret| key.expose().len() < 32;
    if identity.root_key.as_ref().is_some_and(short) {
        return invalid(
            "identity.root_key",
            "must have at least 32 characters".to_owned(),
        );
    }
    if identity.leeway_s > 600 {
        return invalid("identity.leeway_s", "must not exceed 600".to_owned());
    }
    if identity.required {
        return Ok(());
    }
    for (key, listen) in [
        ("gateway.listen", settings.gateway.listen),
        ("registry.listen", settings.registry.listen),
        ("policy.listen", settings.policy.listen),
        ("federation.listen", settings.federation.listen),
    ] {
        if !listen.ip().is_loopback() {
            return invalid(
                key,
                format!("{listen} is reached from elsewhere, which needs identity.required = true"),
            );
        }
    }
    Ok(())
}

fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn invalid(key: &'static str, reason: String) -> Result<(), Error> {
    Err(Error::Invalid { key, reason })
}

fn not_empty(key: &'static str, text: &str) -> Result<(), Error> {
    if text.trim().is_empty() {
        return invalid(key, "must not be empty".to_owned());
    }
    Ok(())
}

fn at_least_one(key: &'static str, number: u64) -> Result<(), Error> {
    if number == 0 {
        return invalid(key, "must be at least 1".to_owned());
    }
    Ok(())
}

fn url(key: &'static str, text: &str, schemes: &[&str]) -> Result<(), Error> {
    let known = text
        .split_once("://")
        .is_some_and(|(scheme, rest)| schemes.contains(&scheme) && !rest.is_empty());
    if known {
        return Ok(());
    }
    // The value is not repeated: an address may hold a password.
    invalid(
        key,
        format!("must start with {}://", schemes.join(":// or ")),
    )
}
