use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use domain_kernel::Recorded;
use futures::future::{OptionFuture, join, try_join_all};
use platform_log::Record;
use platform_postgres::Claimed;
use tokio_util::sync::CancellationToken;

use super::PgProjection;
use super::read_model::ReadModel;
use crate::dead_letter::{DeadLetters, Taken, with_redrives};
use crate::intake::{Intake, Place, guarded, guarded_async};
use crate::session::{Batch, Halt, Role, Session, SessionOptions, checkpoints, classes};
use crate::world::{Clock, Real, World, WriteError, settle, within};
use crate::{Deps, Error, Failure};

/// Parts of a batch, at most; a runner that has caught up gets what has come since,
/// which is little. While one part is written, the next is read.
const PARTS: usize = 4;
/// How many records are read before the transaction under way has its turn.
const TURN: usize = 32;
/// Of a part that is refused so many are tried at once, and then one by one.
const APART: usize = 100;
const TICK: Duration = Duration::from_millis(500);
/// A transaction that takes longer is given up; its connection may be dead.
const DEADLINE: Duration = Duration::from_secs(60);

/// Keeps a Postgres read model up to date until `shutdown`.
///
/// # Errors
/// Only for what no waiting cures, such as a consumer that cannot be built.
pub async fn run_projection<P: PgProjection>(
    projection: P,
    deps: Deps,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let topics = projection.topics();
    let inputs = with_redrives(topics.clone());
    let Some(classes) = classes(P::NAME, &inputs, &deps, &shutdown).await? else {
        return Ok(());
    };
    let world = Real::new(&deps, checkpoints(P::NAME), projection.migrations())?;
    let projection = Arc::new(projection);
    let sessions = classes.into_iter().map(|class| {
        // A class of its own, a run of its own.
        let world = world
            .clone()
            .owned_by(checkpoints(P::NAME))
            .reporting_to(class.readiness);
        run_model_in(
            world,
            Arc::clone(&projection),
            class.group,
            class.topics,
            &topics,
            &shutdown,
        )
    });
    try_join_all(sessions).await?;
    Ok(())
}

/// Keeps a read model up to date in any world, as one member of one group that
/// reads `inputs`; `topics` are all that the model is made of.
pub(crate) async fn run_model_in<W: World, M: ReadModel<W::Store>>(
    world: W,
    model: Arc<M>,
    group: String,
    inputs: Vec<&'static str>,
    topics: &[&'static str],
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    let options = SessionOptions {
        name: M::NAME,
        group,
        inputs,
        own: None,
        tick: TICK,
    };
    let role = ModelRole {
        dead_letters: DeadLetters::new(&world, M::NAME, topics),
        world: world.clone(),
        model,
    };
    Session::join_and_run(options, world, role, shutdown).await
}

struct ModelRole<W: World, M> {
    model: Arc<M>,
    world: W,
    dead_letters: DeadLetters<W::Log>,
}

impl<W: World, M: ReadModel<W::Store>> Role for ModelRole<W, M> {
    async fn take_over(&mut self, claims: &[Claimed]) -> Result<Vec<Claimed>, Halt> {
        Ok(claims.to_vec())
    }

    async fn handle(&mut self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        self.write_batch(batch).await
    }

    fn wants(&self) -> usize {
        PARTS * M::PART
    }
}

/// A record and its events.
type Item<E> = (Taken, Vec<Recorded<E>>);

/// Part of a batch, read and not yet written.
struct Part<E, C> {
    intake: Intake<Vec<Recorded<E>>>,
    changes: Vec<C>,
}

impl<W: World, M: ReadModel<W::Store>> ModelRole<W, M> {
    /// Writes a batch in its parts, one after the other, and reads each while the
    /// one before is written.
    async fn write_batch(&self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        let mut parts = batch.parts(M::PART).into_iter();
        let Some(first) = parts.next() else {
            return Ok(Vec::new());
        };
        let mut part = self.read_part(first, Vec::new()).await?;
        loop {
            let cut = part.intake.cut.clone();
            let next = OptionFuture::from(parts.next().map(|next| self.read_part(next, cut)));
            let (written, next) = join(self.write_part(&mut part), next).await;
            written?;
            let Some(next) = next.transpose()? else {
                return part.intake.end();
            };
            part = self.follow(next, part)?;
        }
    }

    /// The next part, without what has to wait because of the one before.
    fn follow(
        &self,
        mut next: Part<M::Event, M::Change>,
        before: Part<M::Event, M::Change>,
    ) -> Result<Part<M::Event, M::Change>, Halt> {
        if next.intake.follow(before.intake) {
            next.changes.clear();
            for (taken, events) in &next.intake.items {
                let mut changes = self.project(taken.record(), events)?;
                next.changes.append(&mut changes);
            }
        }
        Ok(next)
    }

    /// Decodes and projects what does not stand behind a `cut`.
    async fn read_part(
        &self,
        batch: Batch,
        cut: Vec<Place>,
    ) -> Result<Part<M::Event, M::Change>, Halt> {
        let mut intake = Intake::new(batch.records.len(), batch.upto);
        intake.cut = cut;
        let mut changes = Vec::with_capacity(batch.records.len());
        for (index, record) in batch.records.into_iter().enumerate() {
            if index % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            if intake.is_cut(&record) {
                continue;
            }
            for taken in self.dead_letters.resolve(record).await? {
                if intake.is_cut(&taken.at) {
                    break;
                }
                match self.read(taken.record()).await {
                    Ok((events, mut more)) => {
                        changes.append(&mut more);
                        intake.take(taken, events);
                    }
                    Err(failure) => {
                        intake.fail(&taken, failure, &self.dead_letters).await?;
                    }
                }
            }
        }
        Ok(Part { intake, changes })
    }

    /// Rows and checkpoint of a part, in one transaction.
    async fn write_part(&self, part: &mut Part<M::Event, M::Change>) -> Result<(), Halt> {
        let changes = std::mem::take(&mut part.changes);
        let intake = &mut part.intake;
        match self.write(changes, &intake.upto).await {
            Ok(()) => Ok(()),
            Err(WriteError::Values(_)) if !intake.items.is_empty() => {
                self.write_apart(intake).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The events of a record and what changes because of them.
    async fn read(
        &self,
        record: &Record,
    ) -> Result<(Vec<Recorded<M::Event>>, Vec<M::Change>), Failure> {
        let events = guarded_async(self.model.decode(record)).await?;
        let changes = self.project(record, &events)?;
        Ok((events, changes))
    }

    fn project(
        &self,
        record: &Record,
        events: &[Recorded<M::Event>],
    ) -> Result<Vec<M::Change>, Failure> {
        let position = record.position();
        guarded(|| {
            events
                .iter()
                .flat_map(|recorded| self.model.project(recorded, &position))
                .collect()
        })
    }

    /// Something in the part is refused: finds out whose, and lets the others pass.
    async fn write_apart(&self, intake: &mut Intake<Vec<Recorded<M::Event>>>) -> Result<(), Halt> {
        let items = std::mem::take(&mut intake.items);
        for from in (0..items.len()).step_by(APART) {
            let some = from..items.len().min(from + APART);
            match self.write_some(&items, some.clone(), intake).await {
                Ok(()) => {}
                Err(WriteError::Values(_)) => self.write_one_by_one(&items, some, intake).await?,
                Err(error) => return Err(error.into()),
            }
        }
        // The last records of a partition may have been poison already when decoded.
        Ok(self.write(Vec::new(), &intake.upto).await?)
    }

    async fn write_one_by_one(
        &self,
        items: &[Item<M::Event>],
        some: Range<usize>,
        intake: &mut Intake<Vec<Recorded<M::Event>>>,
    ) -> Result<(), Halt> {
        for at in some {
            match self.write_some(items, at..at + 1, intake).await {
                Ok(()) => {}
                Err(WriteError::Values(failure)) => {
                    let item = &items[at];
                    if intake.fail(&item.0, failure, &self.dead_letters).await? {
                        let upto = behind(&[item], items.get(at + 1), &intake.upto);
                        self.write(Vec::new(), &upto).await?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes some of the items, without those that have to wait.
    async fn write_some(
        &self,
        items: &[Item<M::Event>],
        some: Range<usize>,
        intake: &Intake<Vec<Recorded<M::Event>>>,
    ) -> Result<(), WriteError> {
        let next = items.get(some.end);
        let mut some: Vec<&Item<M::Event>> = items[some].iter().collect();
        some.retain(|(taken, _)| !intake.is_cut(&taken.at));
        if some.is_empty() {
            return Ok(());
        }
        let mut changes = Vec::new();
        for (taken, events) in &some {
            let mut more = self.project(taken.record(), events).map_err(Halt::from)?;
            changes.append(&mut more);
        }
        let upto = behind(&some, next, &intake.upto);
        self.write(changes, &upto).await
    }

    async fn write(&self, changes: Vec<M::Change>, upto: &[Claimed]) -> Result<(), WriteError> {
        let (clock, store) = (self.world.clock(), self.world.store());
        let started = clock.ticks();
        let step = async {
            let written = self.model.write(store, changes, upto).await;
            settle(store, upto, written).await
        };
        let result = within(clock, DEADLINE, step)
            .await
            .unwrap_or_else(|| Err(Halt::transient("a transaction took too long").into()));
        metrics::histogram!(crate::metric::COMMIT, "runner" => M::NAME)
            .record((clock.ticks() - started).as_secs_f64());
        result
    }
}

/// The claims that these items move, behind the last of each. A redrive and the
/// record it names may both be handled: where the next item has the place of the
/// last one, that place is not done with.
fn behind<E>(items: &[&Item<E>], next: Option<&Item<E>>, upto: &[Claimed]) -> Vec<Claimed> {
    let claims = upto.iter().filter_map(|claim| {
        let (last, _) = items.iter().rev().find(|(taken, _)| {
            taken.at.partition == claim.partition && taken.at.topic == claim.topic
        })?;
        let is_done = next.is_none_or(|(next, _)| next.at.position() != last.at.position());
        Some(Claimed {
            next_offset: last.at.offset + i64::from(is_done),
            ..claim.clone()
        })
    });
    claims.collect()
}
