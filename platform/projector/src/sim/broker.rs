use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use platform_log::{Outgoing, Position, Record};

/// Partitions of each topic.
pub(super) const WIDTH: i32 = 2;
/// A member that has not asked for this long is out of its group.
const SESSION: Duration = Duration::from_secs(10);

/// What a group has to say to a member.
#[derive(Debug)]
pub(super) enum Told {
    Assigned(Vec<i32>),
    Revoked,
}

#[derive(Debug)]
struct Membership {
    seen: Duration,
    /// Has partitions and has not given them up.
    holds: bool,
    told: VecDeque<Told>,
}

/// A consumer group: eager rebalancing, range assignment.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: BTreeMap<u64, Membership>,
    next_member: u64,
    rebalancing: bool,
}

impl Group {
    pub(super) fn join(&mut self, now: Duration) -> u64 {
        self.next_member += 1;
        self.members.insert(
            self.next_member,
            Membership {
                seen: now,
                holds: false,
                told: VecDeque::new(),
            },
        );
        self.rebalance();
        self.next_member
    }

    pub(super) fn leave(&mut self, member: u64) {
        if self.members.remove(&member).is_some() {
            self.rebalance();
        }
    }

    pub(super) fn expire(&mut self, now: Duration) {
        let gone: Vec<u64> = self
            .members
            .iter()
            .filter(|(_, member)| now > member.seen + SESSION)
            .map(|(id, _)| *id)
            .collect();
        for member in gone {
            self.leave(member);
        }
    }

    /// What it has to say to a member that asks, if anything; none at all to one
    /// that is not of the group any more.
    pub(super) fn ask(&mut self, member: u64, now: Duration) -> Option<Option<Told>> {
        let member = self.members.get_mut(&member)?;
        member.seen = now;
        Some(member.told.pop_front())
    }

    /// A member has given its partitions up.
    pub(super) fn release(&mut self, member: u64) {
        if let Some(member) = self.members.get_mut(&member) {
            member.holds = false;
        }
        self.assign_when_free();
    }

    fn rebalance(&mut self) {
        self.rebalancing = true;
        for member in self.members.values_mut() {
            if matches!(member.told.back(), Some(Told::Assigned(_))) {
                // It has not heard of them yet, and will not.
                member.told.clear();
                member.holds = false;
            } else if member.holds && member.told.is_empty() {
                member.told.push_back(Told::Revoked);
            }
        }
        self.assign_when_free();
    }

    fn assign_when_free(&mut self) {
        if !self.rebalancing || self.members.values().any(|member| member.holds) {
            return;
        }
        self.rebalancing = false;
        let members = self.members.len() as i32;
        for (index, member) in self.members.values_mut().enumerate() {
            let index = index as i32;
            // As the range assignor: the first members get one more.
            let (each, more) = (WIDTH / members, WIDTH % members);
            let from = index * each + index.min(more);
            let to = from + each + i32::from(index < more);
            member.told.clear();
            member.told.push_back(Told::Assigned((from..to).collect()));
            member.holds = true;
        }
    }
}

/// Topics and consumer groups, as all processes share them.
#[derive(Default)]
pub(super) struct Broker {
    topics: BTreeMap<String, Vec<Vec<Record>>>,
    groups: BTreeMap<String, Group>,
    /// Records whose append has failed, and which will yet come to stand here.
    pub(super) late: usize,
}

impl Broker {
    pub(super) fn partition(&self, topic: &str, partition: i32) -> &[Record] {
        self.topics
            .get(topic)
            .and_then(|partitions| partitions.get(partition as usize))
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn records(&self) -> usize {
        self.topics.values().flatten().map(Vec::len).sum()
    }

    pub(super) fn end(&self, topic: &str, partition: i32) -> i64 {
        self.partition(topic, partition).len() as i64
    }

    pub(super) fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    pub(super) fn append(&mut self, record: &Outgoing) -> Position {
        let topic = record.topic().to_owned();
        let partition = record.partition().unwrap_or_else(|| {
            let key: i32 = record
                .key()
                .unwrap_or_default()
                .iter()
                .map(|byte| i32::from(*byte))
                .sum();
            key % WIDTH
        });
        let partitions = self
            .topics
            .entry(topic.clone())
            .or_insert_with(|| vec![Vec::new(); WIDTH as usize]);
        let records = &mut partitions[partition as usize];
        let offset = records.len() as i64;
        records.push(Record {
            topic: topic.clone(),
            partition,
            offset,
            timestamp_ms: 0,
            key: record.key().map(|key| key.to_vec().into()),
            headers: record.headers().iter().cloned().collect(),
            value: record.value().cloned(),
        });
        Position {
            topic,
            partition,
            offset,
        }
    }
}
