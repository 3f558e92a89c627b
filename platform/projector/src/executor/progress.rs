use std::collections::BTreeMap;
use std::sync::Arc;

use platform_postgres::Claimed;

/// Offsets in the answer topic, by its partition.
pub(crate) type Vector = BTreeMap<i32, i64>;

/// The smaller offset of each partition; one that is unknown to either counts as 0.
pub(crate) fn lower(left: &Vector, right: &Vector) -> Vector {
    left.iter()
        .map(|(partition, offset)| {
            let other = right.get(partition).copied().unwrap_or(0);
            (*partition, other.min(*offset))
        })
        .collect()
}

/// One topic partition of requests.
#[derive(Debug)]
struct Lane {
    claim: Claimed,
    /// Everything before this offset was begun or passed over.
    read_to: i64,
    /// Where the topic ended at takeover: an owner before us may have begun
    /// anything before it.
    taken_over_at: i64,
    /// Begun and not finished, with the answer topic's offsets before which
    /// there is no answer to them.
    unfinished: BTreeMap<i64, Arc<Vector>>,
}

/// How far one partition of requests has come.
#[derive(Debug)]
pub(crate) struct Progress {
    lanes: Vec<Lane>,
    /// The answer topic from where the owner before us vouched for.
    inherited: Arc<Vector>,
    /// Streams with a final answer, not yet noted in Postgres.
    finished: Vec<String>,
    /// How often anything changed, and up to which of these is in Postgres.
    changes: u64,
    noted: u64,
}

/// What is to be committed of one partition.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) upto: Vec<Claimed>,
    pub(crate) answers_from: Vector,
    pub(crate) finished: Vec<String>,
    /// Which state of the progress it is of.
    changes: u64,
}

impl Progress {
    /// `ends` are the ends of the request topics at takeover, `inherited` the
    /// recorded offsets of the answer topic.
    pub(crate) fn new(claims: Vec<(Claimed, i64)>, inherited: Vector) -> Self {
        let lanes = claims
            .into_iter()
            .map(|(claim, end)| Lane {
                read_to: claim.next_offset,
                taken_over_at: end,
                unfinished: BTreeMap::new(),
                claim,
            })
            .collect();
        Self {
            lanes,
            inherited: Arc::new(inherited),
            finished: Vec::new(),
            changes: 0,
            noted: 0,
        }
    }

    fn lane(&mut self, topic: &str) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.claim.topic == topic)
    }

    /// Passed over: nothing is to be done for this record.
    pub(crate) fn pass(&mut self, topic: &str, offset: i64) {
        if let Some(lane) = self.lane(topic) {
            lane.read_to = lane.read_to.max(offset + 1);
            self.changes += 1;
        }
    }

    /// To be carried out. `now` are the offsets of the answer topic as last seen.
    pub(crate) fn begin(&mut self, topic: &str, offset: i64, now: &Arc<Vector>) {
        let inherited = Arc::clone(&self.inherited);
        if let Some(lane) = self.lane(topic) {
            lane.read_to = lane.read_to.max(offset + 1);
            let since = if offset < lane.taken_over_at {
                inherited
            } else {
                Arc::clone(now)
            };
            lane.unfinished.insert(offset, since);
        }
    }

    /// Carried out, with its final answer on the log.
    pub(crate) fn finish(&mut self, topic: &str, offset: i64, stream: String) {
        if let Some(lane) = self.lane(topic) {
            lane.unfinished.remove(&offset);
            self.finished.push(stream);
            self.changes += 1;
        }
    }

    /// Given up without a final answer.
    pub(crate) fn give_up(&mut self, topic: &str, offset: i64) {
        if let Some(lane) = self.lane(topic) {
            lane.unfinished.remove(&offset);
            self.changes += 1;
        }
    }

    pub(crate) fn knows_finished(&self, stream: &str) -> bool {
        self.finished.iter().any(|known| known == stream)
    }

    /// What to commit now; none when nothing has changed since. To be confirmed
    /// with `committed`.
    pub(crate) fn mark(&self, now: &Vector) -> Option<Mark> {
        if self.changes == self.noted {
            return None;
        }
        let mut answers_from = now.clone();
        let mut upto = Vec::with_capacity(self.lanes.len());
        for lane in &self.lanes {
            let next_offset = lane
                .unfinished
                .first_key_value()
                .map_or(lane.read_to, |(offset, _)| *offset);
            upto.push(Claimed {
                next_offset,
                ..lane.claim.clone()
            });
            for since in lane.unfinished.values() {
                answers_from = lower(&answers_from, since);
            }
            if lane.read_to < lane.taken_over_at {
                answers_from = lower(&answers_from, &self.inherited);
            }
        }
        Some(Mark {
            upto,
            answers_from,
            finished: self.finished.clone(),
            changes: self.changes,
        })
    }

    /// The mark is in Postgres.
    pub(crate) fn committed(&mut self, mark: &Mark) {
        self.finished.drain(..mark.finished.len());
        // What changed since the mark was taken is for the next one.
        self.noted = mark.changes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(next: i64, end: i64) -> Progress {
        let claim = Claimed {
            topic: "mesh.requests".to_owned(),
            partition: 0,
            next_offset: next,
            generation: 1,
        };
        Progress::new(vec![(claim, end)], vector(10))
    }

    fn vector(offset: i64) -> Vector {
        Vector::from([(0, offset), (1, offset)])
    }

    fn at(progress: &Progress, now: i64) -> (i64, i64, usize) {
        let mark = progress.mark(&vector(now)).unwrap();
        (
            mark.upto[0].next_offset,
            mark.answers_from[&0],
            mark.finished.len(),
        )
    }

    #[test]
    fn the_checkpoint_stands_at_the_lowest_unfinished() {
        let mut progress = progress(5, 5);
        for offset in 5..8 {
            progress.begin("mesh.requests", offset, &Arc::new(vector(20)));
        }
        progress.finish("mesh.requests", 6, "b".to_owned());
        progress.finish("mesh.requests", 7, "c".to_owned());
        assert_eq!(at(&progress, 30), (5, 20, 2));
        progress.finish("mesh.requests", 5, "a".to_owned());
        assert_eq!(at(&progress, 30), (8, 30, 3));
    }

    #[test]
    fn answers_are_read_from_the_inherited_offsets_until_all_is_finished_that_may_have_been_begun()
    {
        let mut progress = progress(5, 7);
        progress.begin("mesh.requests", 5, &Arc::new(vector(20)));
        progress.finish("mesh.requests", 5, "a".to_owned());
        assert_eq!(at(&progress, 30), (6, 10, 1));
        progress.begin("mesh.requests", 6, &Arc::new(vector(30)));
        progress.pass("mesh.requests", 7);
        assert_eq!(at(&progress, 30), (6, 10, 1));
        progress.finish("mesh.requests", 6, "b".to_owned());
        assert_eq!(at(&progress, 30), (8, 30, 2));
    }

    #[test]
    fn what_changes_while_a_mark_is_written_is_in_the_next_one() {
        let mut progress = progress(0, 2);
        let now = vector(10);
        progress.begin("mesh.requests", 0, &Arc::new(vector(10)));
        progress.begin("mesh.requests", 1, &Arc::new(vector(10)));
        progress.give_up("mesh.requests", 0);
        let first = progress.mark(&now).unwrap();
        assert_eq!(first.upto[0].next_offset, 1);
        progress.give_up("mesh.requests", 1);
        progress.committed(&first);
        let second = progress.mark(&now).unwrap();
        assert_eq!(second.upto[0].next_offset, 2);
        progress.committed(&second);
        assert!(progress.mark(&now).is_none());
    }

    #[test]
    fn what_was_given_up_is_passed_and_not_finished() {
        let mut progress = progress(5, 5);
        progress.begin("mesh.requests", 5, &Arc::new(vector(20)));
        progress.give_up("mesh.requests", 5);
        assert_eq!(at(&progress, 30), (6, 30, 0));
        assert!(!progress.knows_finished("a"));
    }

    #[test]
    fn what_was_committed_is_not_committed_again() {
        let mut progress = progress(5, 5);
        assert_eq!(progress.mark(&vector(20)), None);
        progress.begin("mesh.requests", 5, &Arc::new(vector(20)));
        progress.finish("mesh.requests", 5, "a".to_owned());
        let mark = progress.mark(&vector(20)).unwrap();
        assert!(progress.knows_finished("a"));
        progress.committed(&mark);
        assert!(!progress.knows_finished("a"));
        assert_eq!(progress.mark(&vector(20)), None);
    }
}
