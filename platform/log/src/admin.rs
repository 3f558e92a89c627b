use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use platform_config::Kafka;
use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

use crate::producer::MAX_RECORD_BYTES;
use crate::{Error, client};

const ASK: Duration = Duration::from_secs(15);
/// A broker with many topics takes its time to make new ones.
const LEADERS: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_millis(800);

/// What must not differ on a topic that is already there: events are never
/// deleted by age or size, nor by key.
const NEVER_FORGETS: [(&str, &str); 3] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
];

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Without the prefix.
    pub name: String,
    pub partitions: u32,
    /// Settings beside, or instead of, those of every topic.
    pub config: Vec<(String, String)>,
}

impl TopicSpec {
    /// A topic with the settings of every topic.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self {
            name: name.into(),
            partitions,
            config: Vec::new(),
        }
    }
}

/// Looks after topics.
#[derive(Clone)]
pub struct Admin {
    client: Arc<AdminClient<Events>>,
    settings: Kafka,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin")
            .field("brokers", &self.settings.brokers)
            .finish_non_exhaustive()
    }
}

/// Number of partitions, and whether each has a leader.
type Found = BTreeMap<String, (u32, bool)>;

impl Admin {
    /// Does not wait for a broker.
    ///
    /// # Errors
    /// When the driver refuses a setting.
    pub fn new(settings: &Kafka) -> Result<Self, Error> {
        let client = client::config(settings)
            .set("statistics.interval.ms", "0")
            .create_with_context(Events)
            .map_err(|source| Error::Client { source })?;
        Ok(Self {
            client: Arc::new(client),
            settings: settings.clone(),
        })
    }

    /// Creates the topics that are missing, and returns their names. Waits
    /// until each topic has its leaders. The same call again changes nothing.
    ///
    /// # Errors
    /// When a topic is there with another number of partitions, or forgets
    /// events: neither is ever changed in place. Nothing is created then.
    pub async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<Vec<String>, Error> {
        let found = self.found().await?;
        let mut missing = Vec::new();
        let mut present = Vec::new();
        for spec in specs {
            match found.get(&self.broker_topic(&spec.name)) {
                Some((actual, _)) => {
                    same_partitions(spec, *actual)?;
                    present.push(spec);
                }
                None => missing.push(spec),
            }
        }
        self.check_settings(&present).await?;
        self.create(&missing).await?;
        self.wait_for_leaders(specs).await?;
        Ok(missing.iter().map(|spec| spec.name.clone()).collect())
    }

    /// All topics under the prefix, with their number of partitions.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn topics(&self) -> Result<Vec<(String, u32)>, Error> {
        let found = self.found().await?;
        let prefix = self.settings.topic_prefix.as_str();
        let own = found.iter().filter_map(|(name, (partitions, _))| {
            let name = name.strip_prefix(prefix)?;
            // The broker's own topics.
            (!name.starts_with("__")).then(|| (name.to_owned(), *partitions))
        });
        Ok(own.collect())
    }

    /// # Errors
    /// When the broker does not answer or has no such topic.
    pub async fn partition_count(&self, topic: &str) -> Result<u32, Error> {
        match self.one(topic).await? {
            Some((partitions, _)) => Ok(partitions),
            None => Err(Error::UnknownTopic {
                topic: topic.to_owned(),
            }),
        }
    }

    /// Where each partition ends now: the offset its next record will have.
    ///
    /// # Errors
    /// When the broker does not answer or has no such topic.
    pub async fn high_watermarks(&self, topic: &str) -> Result<Vec<(i32, i64)>, Error> {
        let partitions = i32::try_from(self.partition_count(topic).await?).unwrap_or(i32::MAX);
        let name = self.broker_topic(topic);
        self.blocking(&format!("where {topic} ends"), move |client| {
            (0..partitions)
                .map(|partition| {
                    Ok((
                        partition,
                        client::high_watermark(client.inner(), &name, partition)?,
                    ))
                })
                .collect()
        })
        .await
    }

    /// Deletes all topics whose name, with the prefix of the settings, starts
    /// with `prefix`, and returns how many. For tests; an empty prefix deletes
    /// nothing.
    ///
    /// # Errors
    /// When the broker does not answer or refuses.
    pub async fn delete_topics(&self, prefix: &str) -> Result<usize, Error> {
        if prefix.is_empty() {
            return Ok(0);
        }
        let found = self.found().await?;
        let names: Vec<&str> = found
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with(prefix) && !name.starts_with("__"))
            .collect();
        if names.is_empty() {
            return Ok(0);
        }
        let results = self.client.delete_topics(&names, &options()).await;
        let gone = RDKafkaErrorCode::UnknownTopicOrPartition;
        changed(results, "deleted", &self.settings.topic_prefix, gone)?;
        Ok(names.len())
    }

    async fn create(&self, specs: &[&TopicSpec]) -> Result<(), Error> {
        if specs.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = specs
            .iter()
            .map(|spec| self.broker_topic(&spec.name))
            .collect();
        let configs: Vec<_> = specs.iter().map(|spec| self.config_of(spec)).collect();
        let replication = i32::from(self.settings.replication);
        let topics: Vec<NewTopic<'_>> = specs
            .iter()
            .zip(names.iter().zip(&configs))
            .map(|(spec, (name, config))| {
                let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
                let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
                config
                    .iter()
                    .fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let results = self.client.create_topics(&topics, &options()).await;
        // Someone else was faster; the wait for leaders looks at what came of it.
        let there = RDKafkaErrorCode::TopicAlreadyExists;
        changed(results, "created", &self.settings.topic_prefix, there)
    }

    fn config_of(&self, spec: &TopicSpec) -> Vec<(String, String)> {
        let mut config: BTreeMap<String, String> = NEVER_FORGETS
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        config.insert(
            "min.insync.replicas".to_owned(),
            self.settings.min_insync_replicas.to_string(),
        );
        config.insert("max.message.bytes".to_owned(), MAX_RECORD_BYTES.to_string());
        config.extend(spec.config.iter().cloned());
        config.into_iter().collect()
    }

    async fn check_settings(&self, specs: &[&TopicSpec]) -> Result<(), Error> {
        let names: Vec<String> = specs
            .iter()
            .map(|spec| self.broker_topic(&spec.name))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let resources: Vec<ResourceSpecifier<'_>> = names
            .iter()
            .map(|name| ResourceSpecifier::Topic(name))
            .collect();
        let what = "the settings of topics";
        let described = self
            .client
            .describe_configs(&resources, &options())
            .await
            .map_err(|source| metadata(what, source))?;
        for (spec, resource) in specs.iter().zip(described) {
            let resource = resource.map_err(|code| metadata(what, KafkaError::AdminOp(code)))?;
            let expected = self.config_of(spec);
            for (key, value) in expected {
                let guarded = NEVER_FORGETS.iter().any(|(guarded, _)| *guarded == key);
                let actual = resource.get(&key).and_then(|entry| entry.value.clone());
                if let Some(actual) = actual.filter(|actual| guarded && *actual != value) {
                    return Err(Error::TopicSetting {
                        topic: spec.name.clone(),
                        key,
                        expected: value,
                        actual,
                    });
                }
            }
        }
        Ok(())
    }

    async fn wait_for_leaders(&self, specs: &[TopicSpec]) -> Result<(), Error> {
        let deadline = Instant::now() + LEADERS;
        let mut waiting: Vec<&TopicSpec> = specs.iter().collect();
        let mut pause = LOOK_AGAIN;
        loop {
            let mut still_waiting = Vec::new();
            for spec in waiting {
                match self.one(&spec.name).await? {
                    Some((actual, true)) => same_partitions(spec, actual)?,
                    Some((_, false)) | None => still_waiting.push(spec),
                }
            }
            waiting = still_waiting;
            if waiting.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let names: Vec<_> = waiting.iter().map(|spec| spec.name.as_str()).collect();
                return Err(Error::NoLeader {
                    topics: names.join(", "),
                });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_AT_MOST);
        }
    }

    /// One topic: asking for all of them is dear on a broker that has many.
    async fn one(&self, topic: &str) -> Result<Option<(u32, bool)>, Error> {
        let name = self.broker_topic(topic);
        let answer = self
            .blocking("a topic", move |client| {
                client.inner().fetch_metadata(Some(&name), ASK)
            })
            .await?;
        Ok(answer
            .topics()
            .iter()
            .find(|topic| topic.error().is_none())
            .map(size_and_leaders)
            .filter(|(count, _)| *count > 0))
    }

    async fn found(&self) -> Result<Found, Error> {
        let answer = self
            .blocking("its topics", |client| {
                client.inner().fetch_metadata(None, ASK)
            })
            .await?;
        let topics = answer
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none());
        Ok(topics
            .map(|topic| (topic.name().to_owned(), size_and_leaders(topic)))
            .collect())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&AdminClient<Events>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, Error> {
        let client = self.client.clone();
        tokio::task::spawn_blocking(move || work(&client))
            .await
            .map_err(|_| Error::Cancelled)?
            .map_err(|source| metadata(what, source))
    }

    fn broker_topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.settings.topic_prefix)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ASK))
        .operation_timeout(Some(ASK))
}

fn metadata(what: &str, source: KafkaError) -> Error {
    Error::Metadata {
        what: what.to_owned(),
        source,
    }
}

fn size_and_leaders(topic: &rdkafka::metadata::MetadataTopic) -> (u32, bool) {
    let partitions = topic.partitions();
    let led = partitions.iter().all(|partition| partition.leader() >= 0);
    let count = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
    (count, led && count > 0)
}

fn same_partitions(spec: &TopicSpec, actual: u32) -> Result<(), Error> {
    if spec.partitions == actual {
        return Ok(());
    }
    Err(Error::PartitionCount {
        topic: spec.name.clone(),
        expected: spec.partitions,
        actual,
    })
}

/// Passes over `harmless`: someone else did the same at the same time.
fn changed(
    results: Result<Vec<TopicResult>, KafkaError>,
    change: &'static str,
    prefix: &str,
    harmless: RDKafkaErrorCode,
) -> Result<(), Error> {
    let failed = |topic: &str, source| Error::ChangeTopic {
        topic: topic.to_owned(),
        change,
        source,
    };
    for result in results.map_err(|source| failed(&format!("{prefix}*"), source))? {
        match result {
            Ok(_) => {}
            Err((_, code)) if code == harmless => {}
            Err((topic, code)) => return Err(failed(&topic, KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}

/// What the driver tells the admin client.
struct Events;

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "admin client has an error");
    }
}
