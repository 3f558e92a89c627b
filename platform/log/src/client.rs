//! What producers, consumers and the admin client have in common.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use platform_config::Kafka;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use serde::Deserialize;
use tracing::Level;

/// How often the Kafka client tells how it is doing.
const STATISTICS_MS: &str = "5000";

/// How long a broker may take to tell where a partition ends.
const ASK: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where a partition ends. Asks again while its leader changes, or has only just
/// been chosen and not every broker has heard of it. Blocks.
pub(crate) fn high_watermark<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Result<i64, KafkaError> {
    let begun = Instant::now();
    loop {
        let asked = client.fetch_watermarks(topic, partition, ASK);
        match asked.map_err(|error| (error.rdkafka_error_code(), error)) {
            Ok((_, high)) => return Ok(high),
            Err((
                Some(
                    RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable,
                ),
                _,
            )) if begun.elapsed() < ASK => std::thread::sleep(LOOK_AGAIN),
            Err((_, error)) => return Err(error),
        }
    }
}

pub(crate) fn config(settings: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", "agentmesh")
        .set("allow.auto.create.topics", "false")
        .set("log.connection.close", "false")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.keepalive.enable", "true")
        .set("socket.nagle.disable", "true")
        .set("statistics.interval.ms", STATISTICS_MS)
        .set("topic.metadata.refresh.interval.ms", "30000");
    secure(settings, &mut config);
    // The client formats what it logs before anyone looks at the level.
    let level = if tracing::enabled!(target: "librdkafka", Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else if tracing::enabled!(target: "librdkafka", Level::INFO) {
        RDKafkaLogLevel::Info
    } else {
        RDKafkaLogLevel::Warning
    };
    config.set_log_level(level);
    config
}

fn secure(settings: &Kafka, config: &mut ClientConfig) {
    config.set("security.protocol", &settings.security_protocol);
    for (name, path) in [
        ("ssl.ca.location", &settings.authorities),
        ("ssl.certificate.location", &settings.certificate),
        ("ssl.key.location", &settings.key),
    ] {
        if let Some(path) = path {
            config.set(name, path.to_string_lossy());
        }
    }
    if settings.security_protocol.starts_with("sasl") {
        config
            .set("sasl.mechanisms", &settings.sasl_mechanism)
            .set("sasl.username", &settings.sasl_username);
        if let Some(password) = &settings.sasl_password {
            config.set("sasl.password", password.expose());
        }
    }
}

/// Passes a line of the client's log on.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// The few figures of the client's statistics that are passed on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Statistics {
    pub(crate) msg_cnt: u64,
    pub(crate) msg_size: u64,
    /// Requests of any kind sent to brokers, since the client began.
    pub(crate) tx: i64,
    /// Records sent to brokers, each try, since the client began.
    pub(crate) txmsgs: i64,
    pub(crate) brokers: HashMap<String, Broker>,
    pub(crate) topics: HashMap<String, Topic>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Broker {
    pub(crate) state: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Topic {
    pub(crate) topic: String,
    pub(crate) batchsize: Window,
    pub(crate) batchcnt: Window,
    pub(crate) partitions: HashMap<String, Partition>,
}

/// What came since the client last told how it is doing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Window {
    pub(crate) sum: i64,
    pub(crate) cnt: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Partition {
    pub(crate) partition: i32,
    pub(crate) consumer_lag: i64,
}

impl Statistics {
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    pub(crate) fn any_broker_is_up(&self) -> bool {
        self.brokers
            .values()
            .any(|broker| matches!(broker.state.as_str(), "UP" | "UPDATE"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_secures_the_connection_is_what_the_settings_say() {
        let mut settings = platform_config::Settings::defaults().unwrap().kafka;
        let plain = config(&settings);
        assert_eq!(plain.get("security.protocol"), Some("plaintext"));
        assert_eq!(plain.get("sasl.username"), None);
        settings.security_protocol = "sasl_ssl".to_owned();
        settings.authorities = Some("/etc/ca.pem".into());
        settings.sasl_username = "mesh".to_owned();
        settings.sasl_password = Some(platform_config::Secret::new("hush"));
        let secured = config(&settings);
        assert_eq!(secured.get("ssl.ca.location"), Some("/etc/ca.pem"));
        assert_eq!(secured.get("sasl.mechanisms"), Some("SCRAM-SHA-512"));
        assert_eq!(secured.get("sasl.password"), Some("hush"));
        // The driver takes these names and this protocol.
        assert!(secured.create_native_config().is_ok());
    }

    #[test]
    fn figures_are_found_among_many() {
        let json = br#"{"name":"x","msg_cnt":3,"msg_size":99,"tx":5,"txmsgs":12,"brokers":{"a":{"state":"UP","rtt":{}}},
            "topics":{"t":{"topic":"t","age":1,"batchsize":{"min":9,"avg":9,"sum":36,"cnt":4 },
            "batchcnt": { "avg":3,"sum":12,"p99_99": 0,"cnt":4 },"partitions":{"0":{"partition":0,"consumer_lag":7,"x":[]}}}}}"#;
        let statistics = Statistics::parse(json).unwrap();
        assert_eq!((statistics.msg_cnt, statistics.msg_size), (3, 99));
        assert_eq!((statistics.tx, statistics.txmsgs), (5, 12));
        assert!(statistics.any_broker_is_up());
        let topic = &statistics.topics["t"];
        assert_eq!(topic.partitions["0"].consumer_lag, 7);
        assert_eq!((topic.batchcnt.sum, topic.batchcnt.cnt), (12, 4));
        assert_eq!((topic.batchsize.sum, topic.batchsize.cnt), (36, 4));
        assert!(Statistics::parse(b"not json").is_none());
    }
}
