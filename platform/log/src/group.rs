use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use metrics::{counter, gauge};
use platform_config::Kafka;
use platform_telemetry::names::metric;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::poller::{Change, Polled, Poller};
use crate::{Error, Record};

/// How a consumer takes part in its group.
#[derive(Debug, Clone, Default)]
pub struct GroupOptions {
    /// A name that outlives a restart: the partitions then wait for the member
    /// to come back instead of going round the group (static membership).
    pub group_instance_id: Option<String>,
}

/// What comes next in a group.
#[derive(Debug)]
pub enum GroupEvent {
    /// These partition numbers are owned now, of all topics. Nothing is read
    /// of them before [`GroupConsumer::start`].
    Assigned(Vec<i32>),
    /// These partition numbers go to another member. They are given up by
    /// [`GroupConsumer::release`] or by the next call of
    /// [`GroupConsumer::next`]; the rest of the group waits for that.
    Revoked(Vec<i32>),
    /// These partition numbers have gone to others already: this member was
    /// silent for too long. There is nothing to hand over.
    Lost(Vec<i32>),
    /// Records in order within their partition; none when nothing came in time.
    Records(Vec<Record>),
}

/// A member of a consumer group over topics with the same number of
/// partitions: whoever owns partition *n* owns it of all of them.
///
/// The group only says who reads what. Where to read from is up to the owner,
/// which keeps its positions with its own data.
pub struct GroupConsumer {
    poller: Poller,
    topics: Vec<&'static str>,
    group: String,
    owned: BTreeSet<i32>,
    paused: BTreeSet<i32>,
    /// What the driver was last told to read.
    reading: BTreeSet<i32>,
    /// The next offset of each started partition, by topic.
    positions: BTreeMap<&'static str, BTreeMap<i32, i64>>,
    revoking: bool,
}

impl std::fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupConsumer")
            .field("group", &self.group)
            .field("topics", &self.topics)
            .field("owned", &self.owned)
            .finish_non_exhaustive()
    }
}

impl GroupConsumer {
    /// Joins the group, whose name gets the prefix of the topics. Does not
    /// wait for a broker.
    ///
    /// # Errors
    /// When the driver refuses a setting.
    pub fn new(
        settings: &Kafka,
        group: &str,
        topics: &[&'static str],
        options: GroupOptions,
    ) -> Result<Self, Error> {
        let session_timeout_ms = if options.group_instance_id.is_some() {
            settings.static_session_timeout_ms
        } else {
            settings.session_timeout_ms
        };
        let poller = Poller::open(settings, group, true, |config| {
            config
                .set("group.id", format!("{}{group}", settings.topic_prefix))
                .set("partition.assignment.strategy", "range")
                .set("session.timeout.ms", session_timeout_ms.to_string())
                .set(
                    "heartbeat.interval.ms",
                    // No less often for a static member: it learns of a rebalance
                    // by a heartbeat.
                    (session_timeout_ms.min(settings.session_timeout_ms) / 4)
                        .max(1)
                        .to_string(),
                )
                .set(
                    "max.poll.interval.ms",
                    settings
                        .max_poll_interval_ms
                        .max(session_timeout_ms)
                        .to_string(),
                );
            if let Some(instance) = &options.group_instance_id {
                config.set("group.instance.id", instance);
            }
        })?;
        let names: Vec<String> = topics
            .iter()
            .map(|topic| poller.broker_topic(topic))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        poller
            .consumer()?
            .subscribe(&names)
            .map_err(|source| poller.failed(source))?;
        Ok(Self {
            poller,
            topics: topics.to_vec(),
            group: group.to_owned(),
            owned: BTreeSet::new(),
            paused: BTreeSet::new(),
            reading: BTreeSet::new(),
            positions: BTreeMap::new(),
            revoking: false,
        })
    }

    /// The next change of ownership, or up to `max_records` records as soon as
    /// there are any. Must be called more often than the group's
    /// `max_poll_interval_ms`. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// When the broker cannot be read from; if the error is transient, calling
    /// again goes on. After a lasting one the consumer is of no use.
    pub async fn next(
        &mut self,
        max_records: usize,
        max_wait: Duration,
    ) -> Result<GroupEvent, Error> {
        if self.revoking {
            self.release()?;
        }
        match self.poller.next(max_records, max_wait).await? {
            Polled::Records(records) => Ok(GroupEvent::Records(self.started_only(records))),
            Polled::Change(Change::Assigned(partitions)) => self.assigned(&partitions),
            Polled::Change(Change::Revoked) => {
                self.revoking = true;
                self.count("revoked");
                Ok(GroupEvent::Revoked(self.owned()))
            }
            Polled::Change(Change::Lost) => {
                self.revoking = true;
                self.count("lost");
                Ok(GroupEvent::Lost(self.owned()))
            }
        }
    }

    /// Starts reading: topic, partition and the offset to read first, where a
    /// negative one stands for the beginning. Of each partition number named,
    /// all topics are started, those not named from the beginning. Partitions
    /// that are not owned (any more) are passed over; those already started
    /// can be set to another offset.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn start(&mut self, positions: &[(&str, i32, i64)]) -> Result<(), Error> {
        let numbers: BTreeSet<i32> = positions
            .iter()
            .map(|(_, partition, _)| *partition)
            .filter(|partition| self.owned.contains(partition))
            .collect();
        if numbers.is_empty() || self.revoking {
            return Ok(());
        }
        for topic in &self.topics {
            let starts = self.positions.entry(topic).or_default();
            for number in &numbers {
                let named = positions
                    .iter()
                    .find(|(name, partition, _)| name == topic && partition == number);
                match named {
                    Some((_, _, offset)) => starts.insert(*number, *offset),
                    None => Some(*starts.entry(*number).or_insert(-1)),
                };
            }
        }
        self.assign_started()
    }

    /// Stops fetching of these partition numbers until [`resume`](Self::resume).
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn pause(&mut self, partitions: &[i32]) -> Result<(), Error> {
        let started = self.started(partitions);
        self.paused.extend(partitions);
        self.poller
            .consumer()?
            .pause(&started)
            .map_err(|source| self.poller.failed(source))
    }

    /// Goes on where [`pause`](Self::pause) stopped.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn resume(&mut self, partitions: &[i32]) -> Result<(), Error> {
        let started = self.started(partitions);
        self.paused.retain(|paused| !partitions.contains(paused));
        self.poller
            .consumer()?
            .resume(&started)
            .map_err(|source| self.poller.failed(source))?;
        let is_started = |number| self.positions.values().any(|at| at.contains_key(number));
        if partitions
            .iter()
            .any(|number| is_started(number) && !self.reading.contains(number))
        {
            self.assign_started()?;
        }
        Ok(())
    }

    /// Tells the group how far its owner is: topic, partition and the next
    /// offset. Only for those who watch the lag, so it is neither awaited nor
    /// an error when it fails.
    pub fn commit_to_group(&self, offsets: &[(&str, i32, i64)]) {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, offset) in offsets {
            let topic = self.poller.broker_topic(topic);
            let added = list.add_partition_offset(&topic, *partition, Offset::Offset(*offset));
            if let Err(error) = added {
                tracing::debug!(group = self.group, %error, "offset not committed to the group");
            }
        }
        if list.count() == 0 {
            return;
        }
        let committed = self
            .poller
            .consumer()
            .map(|consumer| consumer.commit(&list, CommitMode::Async));
        if let Ok(Err(error)) = committed {
            tracing::debug!(group = self.group, %error, "offsets not committed to the group");
        }
    }

    /// Gives up the partitions that were revoked, so that the group goes on.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn release(&mut self) -> Result<(), Error> {
        if !self.revoking {
            return Ok(());
        }
        self.revoking = false;
        for (topic, partitions) in &self.positions {
            for partition in partitions.keys() {
                // Another member reports it from now on.
                gauge!(
                    metric::LOG_CONSUMER_LAG,
                    "group" => self.group.clone(),
                    "topic" => *topic,
                    "partition" => partition.to_string(),
                )
                .set(0.0);
            }
        }
        self.owned.clear();
        self.paused.clear();
        self.reading.clear();
        self.positions.clear();
        self.poller
            .consumer()?
            .unassign()
            .map_err(|source| self.poller.failed(source))
    }

    /// The partition numbers owned now.
    pub fn owned(&self) -> Vec<i32> {
        self.owned.iter().copied().collect()
    }

    /// Whether a change of ownership is waiting to be returned by `next`: a
    /// reason to finish what is at hand.
    pub fn change_is_waiting(&self) -> bool {
        self.poller.change_is_waiting()
    }

    /// Whether a broker was in reach when last heard of; for readiness.
    pub fn connected(&self) -> bool {
        self.poller.connected()
    }

    /// Leaves the group at once, so that the others need not wait for a
    /// timeout. A static member stays a member until its session ends.
    pub async fn close(self) {
        self.poller.close().await;
    }

    fn assigned(&mut self, partitions: &[(String, i32)]) -> Result<GroupEvent, Error> {
        self.count("assigned");
        self.owned.clear();
        self.paused.clear();
        self.positions.clear();
        // Accepts the assignment without reading anything of it yet: the owner
        // names the offsets, and what the driver would start from is not asked.
        self.assign_started()?;
        let mut found: BTreeMap<i32, BTreeSet<&str>> = BTreeMap::new();
        for (topic, partition) in partitions {
            let topic = self.poller.logical(topic);
            found.entry(*partition).or_default().insert(topic);
        }
        for topic in &self.topics {
            let absent = !found.is_empty() && !found.values().any(|topics| topics.contains(topic));
            if absent {
                return Err(Error::UnknownTopic {
                    topic: (*topic).to_owned(),
                });
            }
        }
        for (partition, topics) in &found {
            if topics.len() != self.topics.len() {
                return Err(Error::NotCoPartitioned {
                    group: self.group.clone(),
                    partition: *partition,
                    present: topics.iter().copied().collect::<Vec<_>>().join(", "),
                    topics: self.topics.join(", "),
                });
            }
        }
        self.owned = found.into_keys().collect();
        Ok(GroupEvent::Assigned(self.owned()))
    }

    /// Sets the driver to read what is started, from where it stands. What it
    /// has fetched but not delivered is fetched again. What is paused is left
    /// out until it is resumed: a pause right behind an assignment may set the
    /// driver back to where it stood before it, and it would read on from there.
    fn assign_started(&mut self) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        let mut reading = BTreeSet::new();
        for (topic, partitions) in &self.positions {
            let topic = self.poller.broker_topic(topic);
            for (partition, offset) in partitions {
                if self.paused.contains(partition) {
                    continue;
                }
                reading.insert(*partition);
                let offset = match offset {
                    offset if *offset < 0 => Offset::Beginning,
                    offset => Offset::Offset(*offset),
                };
                list.add_partition_offset(&topic, *partition, offset)
                    .map_err(|source| self.poller.failed(source))?;
            }
        }
        self.poller
            .consumer()?
            .assign(&list)
            .map_err(|source| self.poller.failed(source))?;
        self.reading = reading;
        Ok(())
    }

    /// The started partitions among these numbers, of all topics.
    fn started(&self, numbers: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in &self.positions {
            let topic = self.poller.broker_topic(topic);
            for number in numbers {
                if partitions.contains_key(number) {
                    list.add_partition(&topic, *number);
                }
            }
        }
        list
    }

    /// Drops what the driver delivers of a partition that was not started, and
    /// notes how far the others are.
    fn started_only(&mut self, mut records: Vec<Record>) -> Vec<Record> {
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        records.retain(|record| {
            let Some(topic) = self.topics.iter().find(|topic| **topic == record.topic) else {
                return false;
            };
            let next = self
                .positions
                .get_mut(topic)
                .and_then(|partitions| partitions.get_mut(&record.partition));
            let Some(next) = next else {
                return false;
            };
            if record.offset < *next {
                return false;
            }
            *next = record.offset + 1;
            *counts.entry(topic).or_default() += 1;
            true
        });
        for (topic, count) in counts {
            counter!(metric::LOG_CONSUMED, "group" => self.group.clone(), "topic" => topic)
                .increment(count);
        }
        records
    }

    fn count(&self, change: &'static str) {
        counter!(metric::LOG_REBALANCES, "group" => self.group.clone(), "change" => change)
            .increment(1);
    }
}
