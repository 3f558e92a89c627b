use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use platform_log::{Error, GroupEvent, Outgoing, Position, Record};
use tokio::sync::Notify;

use super::broker::{Broker, Group, Told, WIDTH};
use super::world::{Fate, Nature};
use crate::world::{Append, Log, Member, Reader};

/// How late a record may come to stand on the log after its append has failed.
const LATEST: Duration = Duration::from_secs(20);

/// A broker as one process sees it.
#[derive(Clone)]
pub(super) struct SimLog {
    broker: Arc<Mutex<Broker>>,
    changed: Arc<Notify>,
    fate: Fate,
}

impl SimLog {
    pub(super) fn new(broker: &Arc<Mutex<Broker>>, changed: &Arc<Notify>, fate: &Fate) -> Self {
        Self {
            broker: Arc::clone(broker),
            changed: Arc::clone(changed),
            fate: fate.clone(),
        }
    }

    fn broker(&self) -> MutexGuard<'_, Broker> {
        self.broker.lock().unwrap()
    }

    fn nature(&self) -> &Nature {
        &self.fate.nature
    }

    fn put(&self, record: &Outgoing) -> Position {
        let position = self.broker().append(record);
        self.nature()
            .tell(&self.fate.name, format_args!("appended {position}"));
        self.changed.notify_waiters();
        position
    }

    /// The records are on their way when the process hears that they are not.
    fn put_later(&self, records: Vec<Outgoing>) {
        self.broker().late += 1;
        let log = self.clone();
        self.nature().scheduler.spawn(async move {
            log.nature().sleep_up_to(LATEST).await;
            for record in &records {
                let position = log.put(record);
                log.nature()
                    .tell(&log.fate.name, format_args!("that was late: {position}"));
            }
            log.broker().late -= 1;
        });
    }
}

impl Append for SimLog {
    async fn append(&self, record: Outgoing) -> Result<Position, Error> {
        let mut positions = self.append_all(vec![record]).await?;
        positions.pop().ok_or(Error::Cancelled)
    }

    async fn append_all(&self, records: Vec<Outgoing>) -> Result<Vec<Position>, Error> {
        self.fate.pass("append").await;
        if self.fate.fails("append") {
            return Err(Error::QueueFull);
        }
        // How many get through before the connection is lost; the rest may
        // follow when nobody expects it any more.
        let through = if self.nature().fault(20) {
            self.nature().chance.below(records.len() as u64 + 1) as usize
        } else {
            records.len()
        };
        let lost = through < records.len() || self.nature().fault(30);
        let mut positions = Vec::with_capacity(records.len());
        for record in &records[..through] {
            positions.push(self.put(record));
            // Others may get in between.
            if self.nature().chance.one_in(4) {
                self.fate.pass("append, in the middle").await;
            }
        }
        if lost {
            let rest = records[through..].to_vec();
            if !rest.is_empty() && self.nature().chance.one_in(2) {
                self.put_later(rest);
            }
            self.nature().tell(
                &self.fate.name,
                format_args!(
                    "no acknowledgement; {through} of {} appended",
                    records.len()
                ),
            );
            self.fate.pass("no acknowledgement").await;
            return Err(Error::Cancelled);
        }
        self.fate.pass("acknowledged").await;
        Ok(positions)
    }
}

impl Log for SimLog {
    type Producer = Self;
    type Member = SimMember;
    type Reader = SimReader;

    fn producer(&self) -> &Self {
        self
    }

    fn join(&self, group: &str, topics: &[&'static str]) -> Result<SimMember, Error> {
        Ok(SimMember {
            log: self.clone(),
            group: group.to_owned(),
            topics: topics.to_vec(),
            id: None,
            owned: Vec::new(),
            revoking: false,
            positions: BTreeMap::new(),
            paused: BTreeSet::new(),
        })
    }

    fn read(&self, topic: &str, from: Vec<(i32, i64)>) -> Result<SimReader, Error> {
        Ok(SimReader {
            log: self.clone(),
            topic: topic.to_owned(),
            next: from,
        })
    }

    async fn partition_count(&self, _topic: &str) -> Result<u32, Error> {
        Ok(WIDTH as u32)
    }

    async fn high_watermarks(&self, topic: &str) -> Result<Vec<(i32, i64)>, Error> {
        self.fate.pass("watermarks").await;
        if self.fate.fails("watermarks") {
            return Err(Error::Cancelled);
        }
        let broker = self.broker();
        Ok((0..WIDTH)
            .map(|partition| (partition, broker.end(topic, partition)))
            .collect())
    }
}

pub(super) struct SimReader {
    log: SimLog,
    topic: String,
    next: Vec<(i32, i64)>,
}

impl Reader for SimReader {
    async fn next(&mut self, _max: usize, _wait: Duration) -> Result<Vec<Record>, Error> {
        self.log.fate.pass("read").await;
        if self.log.fate.fails("read") {
            return Err(Error::Cancelled);
        }
        let most = 1 + self.log.nature().chance.below(5) as usize;
        let broker = self.log.broker();
        let mut records = Vec::new();
        for (partition, next) in &mut self.next {
            let there = broker.partition(&self.topic, *partition);
            for record in there.iter().skip(*next as usize).take(most) {
                *next = record.offset + 1;
                records.push(record.clone());
            }
        }
        Ok(records)
    }
}

pub(super) struct SimMember {
    log: SimLog,
    group: String,
    topics: Vec<&'static str>,
    /// Not before the first call of `next`, and not after the session has ended.
    id: Option<u64>,
    owned: Vec<i32>,
    revoking: bool,
    positions: BTreeMap<(&'static str, i32), i64>,
    paused: BTreeSet<i32>,
}

impl SimMember {
    fn in_group<T>(&self, step: impl FnOnce(&mut Group) -> T) -> T {
        step(self.log.broker().group(&self.group))
    }

    /// What the group has to say, if anything.
    fn told(&mut self) -> Option<GroupEvent> {
        let now = self.log.nature().scheduler.now();
        self.in_group(|group| group.expire(now));
        let id = match self.id {
            Some(id) => id,
            None => {
                let id = self.in_group(|group| group.join(now));
                self.id = Some(id);
                id
            }
        };
        let Some(told) = self.in_group(|group| group.ask(id, now)) else {
            // The session ended while nobody asked.
            self.id = None;
            if self.owned.is_empty() {
                return None;
            }
            self.revoking = true;
            self.tell("has lost its partitions");
            return Some(GroupEvent::Revoked(self.owned.clone()));
        };
        match told? {
            Told::Revoked => {
                self.revoking = true;
                Some(GroupEvent::Revoked(self.owned.clone()))
            }
            Told::Assigned(partitions) => {
                self.owned.clone_from(&partitions);
                self.positions.clear();
                self.paused.clear();
                Some(GroupEvent::Assigned(partitions))
            }
        }
    }

    fn fetch(&mut self, max: usize) -> Vec<Record> {
        let nature = self.log.nature().clone();
        let mut places: Vec<(&'static str, i32)> = self
            .positions
            .keys()
            .filter(|(_, partition)| !self.paused.contains(partition))
            .copied()
            .collect();
        // In order within a partition, in any order between them.
        nature.chance.shuffle(&mut places);
        let mut records = Vec::new();
        for place in places {
            let Some(next) = self.positions.get_mut(&place) else {
                continue;
            };
            let room = max.saturating_sub(records.len());
            let most = (1 + nature.chance.below(6) as usize).min(room);
            // What was fetched before a seek may be delivered after it.
            let from = if nature.fault(10) { *next - 2 } else { *next };
            let broker = self.log.broker();
            let there = broker.partition(place.0, place.1);
            for record in there.iter().skip(from.max(0) as usize).take(most) {
                *next = (*next).max(record.offset + 1);
                records.push(record.clone());
            }
        }
        records
    }

    fn tell(&self, what: &str) {
        self.log.nature().tell(&self.log.fate.name, what);
    }
}

impl Member for SimMember {
    async fn next(&mut self, max_records: usize, max_wait: Duration) -> Result<GroupEvent, Error> {
        if self.revoking {
            self.release()?;
        }
        self.log.fate.pass("poll").await;
        if self.log.fate.fails("poll") {
            return Err(Error::Cancelled);
        }
        let until = self.log.nature().scheduler.now() + max_wait;
        loop {
            if let Some(event) = self.told() {
                return Ok(event);
            }
            let records = self.fetch(max_records);
            let now = self.log.nature().scheduler.now();
            if !records.is_empty() || now >= until {
                return Ok(GroupEvent::Records(records));
            }
            let wait = (until - now).min(Duration::from_millis(500));
            tokio::select! {
                biased;
                () = self.log.changed.notified() => {}
                () = self.log.nature().scheduler.sleep(wait) => {}
            }
        }
    }

    fn start(&mut self, positions: &[(&str, i32, i64)]) -> Result<(), Error> {
        if self.revoking {
            return Ok(());
        }
        for (topic, partition, offset) in positions {
            let topic = self.topics.iter().find(|known| *known == topic);
            if let Some(topic) = topic
                && self.owned.contains(partition)
            {
                self.positions.insert((*topic, *partition), *offset);
            }
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[i32]) -> Result<(), Error> {
        self.paused.extend(partitions);
        Ok(())
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), Error> {
        self.paused.retain(|paused| !partitions.contains(paused));
        Ok(())
    }

    fn release(&mut self) -> Result<(), Error> {
        self.revoking = false;
        self.owned.clear();
        self.positions.clear();
        if let Some(id) = self.id {
            self.in_group(|group| group.release(id));
        }
        Ok(())
    }

    fn commit_to_group(&self, _offsets: &[(&str, i32, i64)]) {}

    fn connected(&self) -> bool {
        true
    }

    async fn close(self) {
        if let Some(id) = self.id {
            self.in_group(|group| group.leave(id));
        }
    }
}
