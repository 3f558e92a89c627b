use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{OptionFuture, join};
use platform_log::Record;
use platform_postgres::Claimed;
use tokio_util::sync::CancellationToken;

use super::PgProjection;
use super::read_model::{ReadModel, TOGETHER};
use crate::dead_letter::{DeadLetters, Taken};
use crate::intake::{Intake, Reads, guarded_async, projected};
use crate::session::{Batch, Halt, Role, Session, SessionOptions, is_of, reaching, run_groups};
use crate::world::{Clock, World, WriteError, settle, within};
use crate::{Deps, Error, Failure};

/// A batch as large as comes at once makes three parts: one, two and four times the
/// first. A runner that has caught up gets what has come since, which is little.
const BATCH: usize = 1 + 2 + 4;
/// Of a part that is refused so many are tried at once, and then one by one.
const APART: usize = 100;
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
    let (topics, migrations) = (projection.topics(), projection.migrations());
    let projection = Arc::new(projection);
    let run = |world, group, inputs| {
        let projection = Arc::clone(&projection);
        run_model_in(world, projection, group, inputs, &topics, &shutdown)
    };
    run_groups(P::NAME, &topics, migrations, &deps, &shutdown, run).await
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
    let options = SessionOptions::reading(M::NAME, group, inputs);
    let role = ModelRole {
        dead_letters: DeadLetters::new(&world, M::NAME, topics),
        world: world.clone(),
        model,
    };
    Session::join_and_run(options, world, role, shutdown).await
}

/// Records that are written in one transaction, and what changes because of them.
struct Part<C> {
    /// Its items do not keep their changes.
    intake: Intake<Vec<C>>,
    /// In log order, combined.
    changes: Vec<C>,
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
        BATCH * M::PART
    }
}

impl<W: World, M: ReadModel<W::Store>> Reads for ModelRole<W, M> {
    type Read = Vec<M::Change>;

    async fn read(&self, record: &Record) -> Result<Vec<M::Change>, Failure> {
        let events = guarded_async(self.model.decode(record)).await?;
        projected(record, events, |recorded, position| {
            self.model.project(recorded, position)
        })
    }
}

impl<W: World, M: ReadModel<W::Store>> ModelRole<W, M> {
    /// Writes a batch in its parts, one after the other, and reads each while the
    /// one before is written.
    async fn write_batch(&self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        let mut part = Part {
            intake: Intake::new(0, Vec::new()),
            changes: Vec::new(),
        };
        let mut parts = batch.parts(M::PART).into_iter();
        if let Some(first) = parts.next() {
            part = self.read_part(first, &part).await?;
        }
        loop {
            let next = parts.next().map(|next| self.read_part(next, &part));
            let (written, next) = join(self.write_part(&mut part), OptionFuture::from(next)).await;
            written?;
            let Some(mut next) = next.transpose()? else {
                return part.intake.end();
            };
            if next.intake.follow(part.intake) {
                // What has to wait cannot be told apart from the changes it is part of.
                let left: Vec<&Taken> = next.intake.items.iter().map(|(it, _)| it).collect();
                next.changes = self.read_again(&left).await?;
            }
            part = next;
        }
    }

    /// Decodes and projects what need not wait because of the parts `before`.
    fn read_part<'a>(
        &'a self,
        batch: Batch,
        before: &Part<M::Change>,
    ) -> impl Future<Output = Result<Part<M::Change>, Halt>> + use<'a, W, M> {
        let Batch { records, upto } = batch;
        let mut part = Part {
            intake: before.intake.next(records.len(), upto),
            changes: Vec::new(),
        };
        let mut records = records.into_iter();
        async move {
            loop {
                let some: Vec<Record> = records.by_ref().take(TOGETHER).collect();
                if some.is_empty() {
                    return Ok(part);
                }
                let from = part.intake.items.len();
                part.intake.read(some, self, &self.dead_letters).await?;
                let read = part.intake.items[from..].iter_mut();
                let changes = read
                    .flat_map(|(_, changes)| std::mem::take(changes))
                    .collect();
                part.changes.append(&mut self.model.combine(changes));
            }
        }
    }

    /// Rows and checkpoint of a part, in one transaction.
    async fn write_part(&self, part: &mut Part<M::Change>) -> Result<(), Halt> {
        let changes = std::mem::take(&mut part.changes);
        let part = &mut part.intake;
        match self.write(changes, &part.upto).await {
            Ok(()) => Ok(()),
            Err(WriteError::Values(_)) if !part.items.is_empty() => self.write_apart(part).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Something in the part is refused: finds out whose, and lets the others pass.
    async fn write_apart(&self, part: &mut Intake<Vec<M::Change>>) -> Result<(), Halt> {
        let items = std::mem::take(&mut part.items);
        let items: Vec<Taken> = items.into_iter().map(|(taken, _)| taken).collect();
        for from in (0..items.len()).step_by(APART) {
            let some = from..items.len().min(from + APART);
            match self.write_some(&items, some.clone(), part).await {
                Ok(()) => {}
                Err(WriteError::Values(_)) => self.write_one_by_one(&items, some, part).await?,
                Err(error) => return Err(error.into()),
            }
        }
        // The last records of a partition may have been poison already when decoded.
        Ok(self.write(Vec::new(), &part.upto).await?)
    }

    async fn write_one_by_one(
        &self,
        items: &[Taken],
        some: Range<usize>,
        part: &mut Intake<Vec<M::Change>>,
    ) -> Result<(), Halt> {
        for at in some {
            match self.write_some(items, at..at + 1, part).await {
                Ok(()) => {}
                Err(WriteError::Values(failure)) => {
                    let item = &items[at];
                    if part.fail(item, failure, &self.dead_letters).await? {
                        let upto = behind(&[item], items.get(at + 1), &part.upto);
                        self.write(Vec::new(), &upto).await?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes some of the items, read once more, without those that have to wait.
    async fn write_some(
        &self,
        items: &[Taken],
        some: Range<usize>,
        part: &Intake<Vec<M::Change>>,
    ) -> Result<(), WriteError> {
        let next = items.get(some.end);
        let mut some: Vec<&Taken> = items[some].iter().collect();
        some.retain(|taken| !part.is_cut(&taken.at));
        if some.is_empty() {
            return Ok(());
        }
        let changes = self.read_again(&some).await?;
        let upto = behind(&some, next, &part.upto);
        self.write(changes, &upto).await
    }

    /// What changes because of these, combined.
    async fn read_again(&self, items: &[&Taken]) -> Result<Vec<M::Change>, Halt> {
        let mut changes = Vec::new();
        for some in items.chunks(TOGETHER) {
            let mut read = Vec::new();
            for taken in some {
                read.append(&mut self.read(taken.record()).await?);
            }
            changes.append(&mut self.model.combine(read));
        }
        Ok(changes)
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
fn behind(items: &[&Taken], next: Option<&Taken>, upto: &[Claimed]) -> Vec<Claimed> {
    reaching(upto, |claim| {
        let last = items.iter().rfind(|taken| is_of(&taken.at, claim))?;
        let is_done = next.is_none_or(|next| next.at.position() != last.at.position());
        Some(last.at.offset + i64::from(is_done))
    })
}
