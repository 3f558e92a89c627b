use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use platform_log::Record;
use platform_postgres::Claimed;
use tokio_util::sync::CancellationToken;

use super::StoreProjection;
use crate::dead_letter::{self, DeadLetters, Taken};
use crate::guard::{Guard, stands};
use crate::intake::{Intake, Reads, guarded_async, projected};
use crate::session::{Batch, Halt, Role, Session, SessionOptions, run_groups};
use crate::world::{Clock, Log, Store, World};
use crate::{Deps, Error, Failure};

/// Keeps a read model outside Postgres up to date until `shutdown`.
///
/// # Errors
/// Only for what no waiting cures, such as a consumer that cannot be built.
pub async fn run_store_projection<P: StoreProjection>(
    projection: P,
    deps: Deps,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let topics = projection.topics();
    let projection = Arc::new(projection);
    let run = |world, group, inputs| {
        let projection = Arc::clone(&projection);
        run_store_in(world, projection, group, inputs, &topics, &shutdown)
    };
    run_groups(P::NAME, &topics, Vec::new(), &deps, &shutdown, run).await
}

/// Keeps a read model up to date in any world, as one member of one group that
/// reads `inputs`; `topics` are all that the model is made of.
pub(crate) async fn run_store_in<W: World, P: StoreProjection>(
    world: W,
    projection: Arc<P>,
    group: String,
    inputs: Vec<&'static str>,
    topics: &[&'static str],
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let options = SessionOptions::reading(P::NAME, group, inputs);
    let role = StoreRole {
        dead_letters: DeadLetters::new(&world, P::NAME, topics),
        projection,
        world: world.clone(),
        owned: BTreeMap::new(),
    };
    Session::join_and_run(options, world, role, shutdown).await
}

struct StoreRole<W: World, P> {
    projection: Arc<P>,
    world: W,
    dead_letters: DeadLetters<W::Log>,
    /// By partition: the claims, `next_offset` as applied.
    owned: BTreeMap<i32, Vec<Claimed>>,
}

impl<W: World, P: StoreProjection> Role for StoreRole<W, P> {
    async fn take_over(&mut self, claims: &[Claimed]) -> Result<Vec<Claimed>, Halt> {
        let mut positioned = claims.to_vec();
        let mut known: BTreeMap<i32, Vec<(String, i64)>> = BTreeMap::new();
        for claim in &mut positioned {
            // How far the redrives were read is not the store's to lose.
            if claim.topic == dead_letter::TOPIC {
                continue;
            }
            let positions = match known.entry(claim.partition) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let generation = generation(of_partition(claims, claim.partition));
                    let claiming = self.projection.claim(claim.partition, generation);
                    vacant.insert(claiming.await?)
                }
            };
            claim.next_offset = positions
                .iter()
                .find(|(topic, _)| *topic == claim.topic)
                .map_or(0, |(_, next)| *next);
        }
        for claim in &positioned {
            self.owned
                .entry(claim.partition)
                .or_default()
                .push(claim.clone());
        }
        Ok(positioned)
    }

    async fn handle(&mut self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        // The store itself may not be able to tell owners apart.
        self.world.store().verify(&batch.upto).await?;
        let (committed, held) = match self.write_batch(batch).await {
            Ok(committed) => (committed, Vec::new()),
            Err(Halt::Held { held, committed }) => (committed, held),
            Err(halt) => return Err(halt),
        };
        self.note_redrives(&committed).await?;
        for claim in &committed {
            let known = self
                .owned
                .get_mut(&claim.partition)
                .and_then(|claims| claims.iter_mut().find(|known| known.topic == claim.topic));
            if let Some(known) = known {
                known.next_offset = claim.next_offset;
            }
        }
        if held.is_empty() {
            Ok(committed)
        } else {
            Err(Halt::Held { held, committed })
        }
    }

    async fn idle(&mut self) -> Result<(), Halt> {
        for (partition, claims) in &self.owned {
            let positions = self.projection.positions(*partition).await?;
            let kept = |claim: &&Claimed| claim.topic != dead_letter::TOPIC;
            let lost = claims.iter().filter(kept).any(|claim| {
                let there = positions
                    .iter()
                    .find(|(topic, _)| *topic == claim.topic)
                    .map_or(0, |(_, next)| *next);
                there < claim.next_offset
            });
            if lost && stands(Guard::Flush) {
                return Err(Halt::transient(
                    "the store lost what it held, reading it again",
                ));
            }
        }
        Ok(())
    }

    fn release(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.owned.remove(partition);
        }
    }

    fn wants(&self) -> usize {
        P::BATCH
    }
}

impl<W: World, P: StoreProjection> Reads for StoreRole<W, P> {
    type Read = Vec<P::Change>;

    async fn read(&self, record: &Record) -> Result<Vec<P::Change>, Failure> {
        changes_of(&*self.projection, record).await
    }
}

impl<W: World, P: StoreProjection> StoreRole<W, P> {
    /// Decodes, projects and applies a batch, partition by partition.
    async fn write_batch(&self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        let (projection, dead_letters) = (&*self.projection, &self.dead_letters);
        let mut intake = Intake::new(batch.records.len(), batch.upto);
        intake.read(batch.records, self, dead_letters).await?;
        let mut by_partition: BTreeMap<i32, Share<P>> = BTreeMap::new();
        for (taken, changes) in intake.items.drain(..) {
            by_partition
                .entry(taken.at.partition)
                .or_default()
                .push((taken, changes));
        }
        let mut partitions: Vec<i32> = intake.upto.iter().map(|claim| claim.partition).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let clock = self.world.clock();
        for partition in partitions {
            let owner = Owner {
                partition,
                generation: self.owned.get(&partition).map_or(0, generation),
            };
            let items = by_partition.remove(&partition).unwrap_or_default();
            let started = clock.ticks();
            let applied = apply(projection, dead_letters, owner, items, &mut intake).await;
            metrics::histogram!(crate::metric::COMMIT, "runner" => P::NAME)
                .record((clock.ticks() - started).as_secs_f64());
            applied?;
        }
        intake.end()
    }

    /// How far the redrives were read stands in Postgres.
    async fn note_redrives(&self, committed: &[Claimed]) -> Result<(), Halt> {
        let redrives: Vec<Claimed> = committed
            .iter()
            .filter(|claim| claim.topic == dead_letter::TOPIC)
            .cloned()
            .collect();
        if redrives.is_empty() {
            return Ok(());
        }
        // A redrive that is read twice does no harm.
        Ok(self.world.store().advance(&redrives).await?)
    }
}

/// One partition's records and what changes because of each.
type Share<P> = Vec<(Taken, Vec<<P as StoreProjection>::Change>)>;

/// As whom a partition is written.
#[derive(Clone, Copy)]
struct Owner {
    partition: i32,
    generation: i64,
}

async fn changes_of<P: StoreProjection>(
    projection: &P,
    record: &Record,
) -> Result<Vec<P::Change>, Failure> {
    let events = guarded_async(projection.decode(record)).await?;
    projected(record, &events, |recorded, position| {
        projection.project(recorded, position)
    })
}

/// Applies one partition's share; what the store refuses by itself is found by
/// applying the records one by one.
async fn apply<P: StoreProjection, L: Log>(
    projection: &P,
    dead_letters: &DeadLetters<L>,
    owner: Owner,
    items: Share<P>,
    intake: &mut Intake<Vec<P::Change>>,
) -> Result<(), Halt> {
    let (records, changes): (Vec<Taken>, Vec<Vec<P::Change>>) = items.into_iter().unzip();
    let all = changes.into_iter().flatten().collect();
    let Owner {
        partition,
        generation,
    } = owner;
    let upto = positions(&intake.upto, partition);
    match guarded_async(projection.apply(partition, all, &upto, generation)).await {
        Ok(()) => return Ok(()),
        Err(failure @ Failure::Transient(_)) => return Err(failure.into()),
        Err(_) => {}
    }
    for taken in &records {
        if intake.is_cut(&taken.at) {
            continue;
        }
        let changes = changes_of(projection, taken.record()).await?;
        let behind: Vec<(String, i64)> = upto
            .iter()
            .filter(|(topic, _)| *topic == taken.at.topic)
            .map(|(topic, _)| (topic.clone(), taken.at.offset + 1))
            .collect();
        match guarded_async(projection.apply(partition, changes, &behind, generation)).await {
            Ok(()) => {}
            Err(failure @ Failure::Transient(_)) => return Err(failure.into()),
            Err(failure) => {
                intake.fail(taken, failure, dead_letters).await?;
            }
        }
    }
    let upto = positions(&intake.upto, partition);
    guarded_async(projection.apply(partition, Vec::new(), &upto, generation))
        .await
        .map_err(Halt::transient)
}

/// What the store is to note of one partition: the next offset of each topic.
fn positions(upto: &[Claimed], partition: i32) -> Vec<(String, i64)> {
    of_partition(upto, partition)
        .filter(|claim| claim.topic != dead_letter::TOPIC)
        .map(|claim| (claim.topic.clone(), claim.next_offset))
        .collect()
}

fn of_partition(claims: &[Claimed], partition: i32) -> impl Iterator<Item = &Claimed> {
    claims
        .iter()
        .filter(move |claim| claim.partition == partition)
}

/// The owner generation of a partition: of all its topics, whichever of them a
/// batch is of, for one that came later was claimed less often.
fn generation<'a>(claims: impl IntoIterator<Item = &'a Claimed>) -> i64 {
    let generations = claims.into_iter().map(|claim| claim.generation);
    generations.max().unwrap_or(0)
}
