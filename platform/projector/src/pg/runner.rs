use std::sync::Arc;
use std::time::Duration;

use domain_kernel::Recorded;
use futures::future::try_join_all;
use platform_log::Record;
use platform_postgres::Claimed;
use tokio_util::sync::CancellationToken;

use super::PgProjection;
use super::read_model::ReadModel;
use crate::dead_letter::{DeadLetters, Taken, with_redrives};
use crate::intake::{Intake, guarded, guarded_async};
use crate::session::{Batch, Halt, Role, Session, SessionOptions, checkpoints, classes};
use crate::world::{Clock, Real, World, WriteError, settle, within};
use crate::{Deps, Error, Failure};

/// At most; a runner that has caught up gets what has come since, which is little.
/// Larger batches bring nothing more, and hold locks and memory for longer.
const BATCH: usize = 5_000;
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
        BATCH
    }
}

impl<W: World, M: ReadModel<W::Store>> ModelRole<W, M> {
    /// Decodes, projects and writes a batch, rows and checkpoint in one transaction.
    async fn write_batch(&self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        let mut intake: Intake<Vec<Recorded<M::Event>>> =
            Intake::new(batch.records.len(), batch.upto);
        let mut changes = Vec::new();
        for record in batch.records {
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
        match self.write(changes, &intake.upto).await {
            Ok(()) => {}
            Err(WriteError::Values(_)) if !intake.items.is_empty() => {
                self.write_one_by_one(&mut intake).await?;
            }
            Err(error) => return Err(error.into()),
        }
        intake.end()
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

    /// Something in the batch is refused: finds out whose, and lets the others pass.
    async fn write_one_by_one(
        &self,
        intake: &mut Intake<Vec<Recorded<M::Event>>>,
    ) -> Result<(), Halt> {
        let mut items = std::mem::take(&mut intake.items).into_iter().peekable();
        while let Some((taken, events)) = items.next() {
            if intake.is_cut(&taken.at) {
                continue;
            }
            // A redrive and the record it names may both be handled: one place on the log.
            let place = taken.at.position();
            let is_last = items
                .peek()
                .is_none_or(|(next, _)| next.at.position() != place);
            let upto = behind(&taken, is_last, &intake.upto);
            let changes = self.project(taken.record(), &events)?;
            match self.write(changes, &upto).await {
                Ok(()) => {}
                Err(WriteError::Values(failure)) => {
                    if intake.fail(&taken, failure, &self.dead_letters).await? {
                        self.write(Vec::new(), &upto).await?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        // The last records of a partition may have been poison already when decoded.
        Ok(self.write(Vec::new(), &intake.upto).await?)
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

/// The claim of the topic partition, behind this record alone.
fn behind(taken: &Taken, is_last: bool, upto: &[Claimed]) -> Vec<Claimed> {
    let record = &taken.at;
    upto.iter()
        .filter(|claim| claim.partition == record.partition && claim.topic == record.topic)
        .map(|claim| Claimed {
            next_offset: record.offset + i64::from(is_last),
            ..claim.clone()
        })
        .collect()
}
