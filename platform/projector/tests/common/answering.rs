//! An executor that does what it is told to with what is asked, and its answers
//! as they stand on the log.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain_kernel::Recorded;
use platform_log::{DecodeError, Decoder, Encoder, Error, Outgoing, Producer, Record};
use platform_postgres::{Checkpoints, Pool};
use platform_projector::{CancelReason, Cancellation, Executor, Failure, Journal};
use platform_testkit::eventually;
use tokio::sync::watch;

use super::wire::{Answered, Answers, Asked, Asks};
use super::{AnsweredEvents, Bed, PATIENCE};

/// What is to happen with requests: those with a number below `open` are done.
#[derive(Clone)]
pub struct World {
    pub open: Arc<watch::Sender<u64>>,
    /// Stream and how many answers it was shown, in the order begun.
    begun: Arc<Mutex<Vec<(String, usize)>>>,
    /// What was said to those that asked whether their request was still theirs.
    pub confirmed: Arc<Mutex<Vec<bool>>>,
    /// As long as it holds, number 50 fails by itself.
    pub broken: Arc<AtomicBool>,
    /// How many were carried out.
    pub done: Arc<AtomicUsize>,
}

impl World {
    pub fn new(open: u64) -> Self {
        Self {
            open: Arc::new(watch::Sender::new(open)),
            begun: Arc::default(),
            confirmed: Arc::default(),
            broken: Arc::default(),
            done: Arc::default(),
        }
    }

    pub fn begun(&self) -> Vec<(String, usize)> {
        self.begun.lock().unwrap().clone()
    }
}

pub struct Answering {
    asks: Decoder<Asks>,
    answers: Decoder<Answers>,
    encoder: Encoder,
    world: World,
    pub ordered: bool,
    /// Requests of one kind get only some of the places.
    pub places: usize,
    /// Claims the partition of a request that has begun, as another owner would.
    pub usurper: Option<Pool>,
    /// Brings the final answer of an owner before, after the answers were read.
    pub latecomer: Option<Producer>,
}

pub fn answering(bed: &Bed, world: &World) -> Answering {
    Answering {
        asks: bed.decoder(),
        answers: bed.decoder(),
        encoder: bed.encoder.clone(),
        world: world.clone(),
        ordered: false,
        places: 8,
        usurper: None,
        latecomer: None,
    }
}

impl Executor for Answering {
    type Request = Asked;
    type Answer = Answered;
    const NAME: &'static str = "test-answering";

    fn topics(&self) -> Vec<&'static str> {
        vec!["mesh.asks"]
    }

    fn answer_topic(&self) -> &'static str {
        "mesh.answers"
    }

    fn source(&self) -> &'static str {
        "/agentmesh/test"
    }

    fn concurrency(&self) -> usize {
        8
    }

    async fn decode(&self, record: &Record) -> Result<Option<Recorded<Asked>>, DecodeError> {
        Ok(Some(self.asks.decode(record).await?))
    }

    async fn decode_answer(&self, record: &Record) -> Result<Recorded<Answered>, DecodeError> {
        self.answers.decode(record).await
    }

    fn encode_answer(&self, recorded: &Recorded<Answered>) -> Result<Outgoing, Error> {
        self.encoder.encode::<Answers>(recorded)
    }

    fn stream(&self, request: &Recorded<Asked>) -> String {
        request.meta.stream.clone()
    }

    fn is_final(&self, answer: &Answered) -> bool {
        !matches!(answer, Answered::Started)
    }

    fn cancels(&self, request: &Recorded<Asked>) -> Option<String> {
        request.event.cancels.clone()
    }

    fn order_key(&self, request: &Recorded<Asked>) -> Option<String> {
        self.ordered.then(|| request.event.stream.clone())
    }

    fn share_key(&self, request: &Recorded<Asked>) -> Option<String> {
        let (kind, _) = request.event.stream.split_once(' ')?;
        Some(kind.to_owned())
    }

    fn places(&self) -> usize {
        self.places
    }

    async fn execute(
        &self,
        request: Recorded<Asked>,
        journal: &Journal<Self>,
        history: Vec<Recorded<Answered>>,
        cancel: Cancellation,
    ) -> Result<(), Failure> {
        let begun = (request.meta.stream.clone(), history.len());
        self.world.begun.lock().unwrap().push(begun);
        if history.is_empty() {
            journal.record(Answered::Started).await?;
        }
        if let Some(pool) = &self.usurper {
            if history.is_empty() {
                let another = Checkpoints::new("test_answering", "another");
                another.claim(pool, &[("mesh.asks", 0)]).await.unwrap();
            }
            let confirmed = journal.confirm_ownership().await;
            let mut all = self.world.confirmed.lock().unwrap();
            all.push(confirmed.is_ok());
            drop(all);
            confirmed?;
        }
        if let (Some(producer), [started]) = (&self.latecomer, history.as_slice()) {
            let mut late = started.clone();
            late.meta.version = 2;
            late.event = Answered::Done { number: 99 };
            let late = self.encoder.encode::<Answers>(&late).unwrap();
            producer.append(late).await.unwrap();
            // As one does who has to find out what became of it.
            journal.record(Answered::Started).await?;
        }
        let number = request.event.number;
        assert_ne!(number, 13, "told to");
        if number == 7 && history.is_empty() {
            return Err(Failure::transient("the first time it fails"));
        }
        if number == 50 && self.world.broken.load(Ordering::SeqCst) {
            return Err(Failure::suspect("the machine says no"));
        }
        let mut open = self.world.open.subscribe();
        let called_off = tokio::select! {
            opened = open.wait_for(|open| number < *open) => {
                drop(opened);
                None
            }
            reason = cancel.cancelled() => Some(reason),
        };
        match called_off {
            None => {
                self.world.done.fetch_add(1, Ordering::SeqCst);
                journal.record(Answered::Done { number }).await?;
            }
            Some(CancelReason::Requested) => drop(journal.record(Answered::CalledOff).await?),
            Some(CancelReason::Shutdown) => {}
        }
        Ok(())
    }
}

pub async fn answers(bed: &Bed) -> BTreeMap<String, Vec<Answered>> {
    let mut answers: BTreeMap<String, Vec<(u64, Answered)>> = BTreeMap::new();
    let all: AnsweredEvents = bed.decode_all::<Answers>().await;
    for answer in all {
        answers
            .entry(answer.meta.stream)
            .or_default()
            .push((answer.meta.version, answer.event));
    }
    answers
        .into_iter()
        .map(|(stream, mut answers)| {
            answers.sort_by_key(|(version, _)| *version);
            let versions: Vec<u64> = answers.iter().map(|(version, _)| *version).collect();
            assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
            (
                stream,
                answers.into_iter().map(|(_, answer)| answer).collect(),
            )
        })
        .collect()
}

pub async fn done(bed: &Bed, count: usize) {
    eventually(PATIENCE, || async {
        let finished = answers(bed)
            .await
            .values()
            .filter(|answers| answers.len() == 2)
            .count();
        (finished == count).then_some(()).ok_or(finished)
    })
    .await
    .unwrap();
}

/// A request in the order of one partition, whatever its stream.
pub async fn ask_on(bed: &Bed, partition: i32, request: &Recorded<Asked>) {
    let outgoing = bed.encoder.encode::<Asks>(request).unwrap();
    bed.producer
        .append(outgoing.to_partition(partition))
        .await
        .unwrap();
}

pub async fn checkpoint(bed: &Bed, partition: i32) -> Option<i64> {
    let positions = Checkpoints::positions(&bed.pool, "test_answering")
        .await
        .ok()?;
    positions
        .iter()
        .find(|claim| claim.topic == "mesh.asks" && claim.partition == partition)
        .map(|claim| claim.next_offset)
}
