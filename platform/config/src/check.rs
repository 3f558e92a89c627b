//! What types cannot say about a setting.

use crate::{ClientCertificates, Error, Http, Kafka, ListenerTls, RateLimits, Settings, Tls};

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
    for (key, timeout) in [
        ("kafka.session_timeout_ms", kafka.session_timeout_ms),
        (
            "kafka.static_session_timeout_ms",
            kafka.static_session_timeout_ms,
        ),
    ] {
        at_least_one(key, u64::from(timeout))?;
    }
    if kafka
        .instance_id
        .as_ref()
        .is_some_and(|id| id.len() > 200 || !id.bytes().all(is_topic_byte))
    {
        return invalid(
            "kafka.instance_id",
            "may hold at most 200 letters, digits, `.`, `_` and `-`".to_owned(),
        );
    }
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
    kafka_security(kafka)?;
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
    at_least_one(
        "gateway.max_concurrent_requests",
        settings.gateway.max_concurrent_requests as u64,
    )?;
    at_least_one(
        "gateway.admission_queue_records",
        settings.gateway.admission_queue_records as u64,
    )?;
    rates(&settings.gateway.rate_limits)?;
    http(&settings.http)?;
    tls(&settings.tls)?;
    for (section, tls) in [
        ("gateway.tls", &settings.gateway.tls),
        ("registry.tls", &settings.registry.tls),
        ("policy.tls", &settings.policy.tls),
        ("federation.tls", &settings.federation.tls),
        ("agent_servers.tls", &settings.agent_servers.tls),
        ("crm_sandbox.tls", &settings.crm_sandbox.tls),
        ("telemetry.tls", &settings.telemetry.tls),
    ] {
        listener(section, tls)?;
    }
    if settings.gateway.redirect_listen.is_some() {
        match &settings.gateway.public_url {
            Some(public) => url("gateway.public_url", public, &["https"])?,
            None => {
                return invalid(
                    "gateway.redirect_listen",
                    "needs gateway.public_url, which it redirects to".to_owned(),
                );
            }
        }
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
    at_least_one(
        "sync.connector_concurrency",
        settings.sync.connector_concurrency as u64,
    )?;
    at_least_one(
        "agents.agent_concurrency",
        settings.agents.agent_concurrency as u64,
    )?;
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

fn kafka_security(kafka: &Kafka) -> Result<(), Error> {
    let protocol = kafka.security_protocol.as_str();
    let (tls, sasl) = match protocol {
        "plaintext" => (false, false),
        "ssl" => (true, false),
        "sasl_plaintext" => (false, true),
        "sasl_ssl" => (true, true),
        _ => {
            return invalid(
                "kafka.security_protocol",
                format!(
                    "must be `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`, not `{protocol}`"
                ),
            );
        }
    };
    if !tls && (kafka.authorities.is_some() || kafka.certificate.is_some()) {
        return invalid(
            "kafka.security_protocol",
            "must be `ssl` or `sasl_ssl` for the certificates that are set".to_owned(),
        );
    }
    if kafka.certificate.is_some() != kafka.key.is_some() {
        return invalid(
            "kafka.certificate",
            "goes together with kafka.key".to_owned(),
        );
    }
    if sasl && (kafka.sasl_username.is_empty() || kafka.sasl_password.is_none()) {
        return invalid(
            "kafka.sasl_username",
            format!("and kafka.sasl_password are needed for `{protocol}`"),
        );
    }
    let mechanism = kafka.sasl_mechanism.as_str();
    if !matches!(mechanism, "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") {
        return invalid(
            "kafka.sasl_mechanism",
            format!("must be `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`, not `{mechanism}`"),
        );
    }
    Ok(())
}

fn rates(rates: &RateLimits) -> Result<(), Error> {
    for (key, rate) in [
        ("gateway.rate_limits.source_per_s", rates.source_per_s),
        ("gateway.rate_limits.tenant_per_s", rates.tenant_per_s),
        ("gateway.rate_limits.key_per_s", rates.key_per_s),
        ("gateway.rate_limits.address_per_s", rates.address_per_s),
    ] {
        // Below one in a thousand seconds nobody means a rate.
        if rate != 0.0 && !(0.001..=1e6).contains(&rate) {
            return invalid(
                key,
                format!("must be 0 or from 0.001 to 1000000, not {rate}"),
            );
        }
    }
    Ok(())
}

fn http(http: &Http) -> Result<(), Error> {
    at_least_one("http.header_read_timeout_ms", http.header_read_timeout_ms)?;
    at_least_one("http.handshake_timeout_ms", http.handshake_timeout_ms)?;
    at_least_one("http.max_headers", http.max_headers as u64)?;
    at_least_one("http.max_connections", http.max_connections as u64)?;
    at_least_one(
        "http.max_requests_per_connection",
        http.max_requests_per_connection,
    )?;
    at_least_one("http.max_connection_age_s", http.max_connection_age_s)?;
    at_least_one("http.write_timeout_ms", http.write_timeout_ms)?;
    at_least_one(
        "http.http2_max_concurrent_streams",
        u64::from(http.http2_max_concurrent_streams),
    )?;
    at_least_one(
        "http.http2_max_pending_resets",
        http.http2_max_pending_resets as u64,
    )?;
    if http.max_header_bytes < 8_192 {
        return invalid(
            "http.max_header_bytes",
            "must be at least 8192, which is what one read takes".to_owned(),
        );
    }
    Ok(())
}

fn tls(tls: &Tls) -> Result<(), Error> {
    at_least_one("tls.reload_interval_ms", tls.reload_interval_ms)?;
    not_empty("tls.peer_domain", &tls.peer_domain)?;
    if tls.client_certificate.is_some() != tls.client_key.is_some() {
        return invalid(
            "tls.client_certificate",
            "goes together with tls.client_key".to_owned(),
        );
    }
    if tls.client_certificate.is_some() && tls.peer_authorities.is_none() {
        return invalid(
            "tls.client_certificate",
            "needs tls.peer_authorities: it is shown to nobody else".to_owned(),
        );
    }
    Ok(())
}

/// `section` is the listener's; which of its keys is wrong is said in the reason.
fn listener(section: &'static str, tls: &ListenerTls) -> Result<(), Error> {
    if tls.certificate.is_some() != tls.key.is_some() {
        return invalid(section, "certificate and key go together".to_owned());
    }
    let asks = tls.client_certificates != ClientCertificates::None;
    if asks && tls.certificate.is_none() {
        return invalid(
            section,
            "client certificates are asked for over HTTPS only: set certificate and key".to_owned(),
        );
    }
    if asks != tls.client_authorities.is_some() {
        return invalid(
            section,
            "client_authorities and client_certificates go together".to_owned(),
        );
    }
    if !asks && !tls.client_names.is_empty() {
        return invalid(
            section,
            "client_names are names in certificates: set client_certificates".to_owned(),
        );
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
