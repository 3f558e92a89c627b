//! What operators see when they set something.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::error::Error as _;
use std::path::Path;

use platform_config::{Error, Settings};

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Settings, Error> {
    Settings::from_layers(
        Some((Path::new("agentmesh.toml"), file)),
        environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

/// The message with its causes, as a log line shows it.
fn message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn the_defaults_are_complete_and_valid() {
    let settings = Settings::defaults().unwrap();
    assert_eq!(settings.gateway.listen.port(), 3000);
    assert_eq!(settings.registry.listen.port(), 3001);
    assert_eq!(settings.policy.listen.port(), 3003);
    assert_eq!(settings.federation.listen.port(), 3004);
    assert_eq!(settings.kafka.partitions, 6);
    assert_eq!(settings.gateway.max_body_bytes, 1024 * 1024);
    assert!(settings.secrets.key.is_none());
    assert!(settings.telemetry.otlp_endpoint.is_none());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let settings = load(
        "[kafka]\npartitions = 3\nbrokers = \"file:9092\"\n[federation]\nmerge_threshold = 1\n",
        &[
            ("KAFKA_BROKERS", "conventional:9092"),
            ("AGENTMESH__AGENT_SERVERS__OPENAI__API_KEY", "0123"),
            ("AGENTMESH__DATA_DIR", "/var/lib/mesh"),
        ],
    )
    .unwrap();
    assert_eq!(settings.kafka.partitions, 3);
    assert_eq!(settings.kafka.brokers, "conventional:9092");
    assert_eq!(settings.federation.merge_threshold, 1.0);
    assert_eq!(settings.data_dir, Path::new("/var/lib/mesh"));
    let key = settings.agent_servers.openai.api_key.unwrap();
    assert_eq!(
        key.expose(),
        "0123",
        "text stays text, leading zero and all"
    );
}

#[test]
fn our_own_names_win_over_the_conventional_ones() {
    let settings = load(
        "",
        &[
            ("AGENTMESH__POSTGRES__URL", "postgres://own/mesh"),
            ("DATABASE_URL", "postgres://conventional/mesh"),
            ("REDIS_URL", ""),
        ],
    )
    .unwrap();
    assert_eq!(settings.postgres.url, "postgres://own/mesh");
    assert_eq!(
        settings.redis.url, "redis://127.0.0.1:6379",
        "empty is unset"
    );
}

#[test]
fn an_unknown_key_is_named_with_where_it_was_set() {
    let error = load("[gateway]\nlistne = \"127.0.0.1:1\"\n", &[]).unwrap_err();
    assert_eq!(
        message(&error),
        "there is no setting `gateway.listne` (set in agentmesh.toml)"
    );
    let error = load("", &[("AGENTMESH__KAFKA__BROKER", "x")]).unwrap_err();
    assert_eq!(
        message(&error),
        "there is no setting `kafka.broker` (set in environment variable AGENTMESH__KAFKA__BROKER)"
    );
}

#[test]
fn a_bad_value_names_its_key() {
    for (file, environment, expected) in [
        (
            "",
            ("AGENTMESH__KAFKA__PARTITIONS", "six"),
            "kafka.partitions",
        ),
        (
            "",
            ("AGENTMESH__KAFKA__PARTITIONS", "0"),
            "kafka.partitions",
        ),
        (
            "",
            ("AGENTMESH__KAFKA__PARTITIONS", "-1"),
            "kafka.partitions",
        ),
        (
            "",
            ("AGENTMESH__GATEWAY__LISTEN", "nowhere"),
            "gateway.listen",
        ),
        (
            "",
            ("AGENTMESH__OUTBOUND__ALLOW", "127.0.0.1"),
            "outbound.allow",
        ),
        (
            "[gateway]\ntrusted_proxies = \"10.0.0.0/33\"",
            ("X", ""),
            "gateway.trusted_proxies",
        ),
        ("", ("AGENTMESH__GATEWAY", "x"), "gateway"),
        (
            "",
            ("SCHEMA_REGISTRY_URL", "localhost"),
            "schema_registry.url",
        ),
        (
            "[federation]\nmerge_threshold = 1.5",
            ("X", ""),
            "federation.merge_threshold",
        ),
        ("[kafka]\nbrokers = 9092", ("X", ""), "kafka.brokers"),
        (
            "[telemetry]\nlog_format = \"xml\"",
            ("X", ""),
            "telemetry.log_format",
        ),
        (
            "[kafka]\nmin_insync_replicas = 2",
            ("X", ""),
            "kafka.min_insync_replicas",
        ),
    ] {
        let error = load(file, &[environment]).unwrap_err();
        let text = message(&error);
        assert!(text.contains(&format!("`{expected}`")), "{text}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_named() {
    let error = load("[kafka", &[]).unwrap_err();
    assert!(error.to_string().contains("agentmesh.toml"), "{error}");
}

#[test]
fn a_file_that_is_asked_for_must_exist() {
    let folder = tempfile::tempdir().unwrap();
    let error = Settings::load(Some(&folder.path().join("none.toml"))).unwrap_err();
    assert!(error.to_string().contains("none.toml"), "{error}");
}

#[test]
fn secrets_do_not_show_in_debug() {
    let settings = load(
        "",
        &[
            ("DATABASE_URL", "postgres://ann:hunter2@db/mesh"),
            ("REDIS_URL", "redis://:hunter2@cache"),
            ("AGENTMESH__SECRETS__KEY", "hunter2"),
            ("AGENTMESH__CRM_SANDBOX__ACCESS_TOKEN", "hunter2"),
        ],
    )
    .unwrap();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_others_can_reach_wants_callers_to_show_who_they_are() {
    let beyond = ("AGENTMESH__REGISTRY__LISTEN", "0.0.0.0:3001");
    let error = load("", &[beyond]).unwrap_err().to_string();
    assert!(
        error.contains("registry.listen") && error.contains("identity.required"),
        "{error}"
    );
    load("", &[beyond, ("AGENTMESH__IDENTITY__REQUIRED", "true")]).unwrap();
    let short = ("AGENTMESH__IDENTITY__ROOT_KEY", "too-short");
    assert!(load("", &[short]).is_err());
}
