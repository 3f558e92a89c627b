use std::sync::Arc;
use std::time::{Duration, Instant};

use domain_kernel::Recorded;
use futures::future::try_join_all;
use platform_log::Record;
use platform_postgres::{Checkpoints, Claimed, Pool, Resolution, use_schema};
use tokio_util::sync::CancellationToken;

use super::PgProjection;
use crate::dead_letter::{DeadLetters, Taken, with_redrives};
use crate::intake::{Intake, guarded, guarded_async};
use crate::session::{Batch, Halt, Role, Session, SessionOptions, checkpoints, classes};
use crate::{Deps, Error, Failure};

const BATCH: usize = 2_000;
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
    let projection = Arc::new(projection);
    let sessions = classes.into_iter().map(|class| {
        let checkpoints = checkpoints(P::NAME);
        let options = SessionOptions {
            name: P::NAME,
            group: class.group,
            inputs: class.topics,
            own: None,
            migrations: projection.migrations(),
            tick: TICK,
        };
        let role = PgRole {
            dead_letters: DeadLetters::new(&deps, P::NAME, &topics),
            pool: deps.pool.clone(),
            checkpoints: checkpoints.clone(),
            projection: Arc::clone(&projection),
        };
        let deps = Deps {
            readiness: class.readiness,
            ..deps.clone()
        };
        Session::join_and_run(options, deps, checkpoints, role, &shutdown)
    });
    try_join_all(sessions).await?;
    Ok(())
}

struct PgRole<P> {
    projection: Arc<P>,
    pool: Pool,
    checkpoints: Checkpoints,
    dead_letters: DeadLetters,
}

impl<P: PgProjection> Role for PgRole<P> {
    async fn take_over(&mut self, claims: &[Claimed]) -> Result<Vec<Claimed>, Halt> {
        Ok(claims.to_vec())
    }

    async fn handle(&mut self, batch: Batch) -> Result<Vec<Claimed>, Halt> {
        write_batch(
            &*self.projection,
            &self.pool,
            &self.checkpoints,
            &self.dead_letters,
            batch,
        )
        .await
    }

    fn wants(&self) -> usize {
        BATCH
    }
}

/// Decodes, projects and writes a batch, rows and checkpoint in one transaction.
async fn write_batch<P: PgProjection>(
    projection: &P,
    pool: &Pool,
    checkpoints: &Checkpoints,
    dead_letters: &DeadLetters,
    batch: Batch,
) -> Result<Vec<Claimed>, Halt> {
    let mut intake: Intake<Vec<Recorded<P::Event>>> = Intake::new(batch.records.len(), batch.upto);
    let mut changes = Vec::new();
    for record in batch.records {
        if intake.is_cut(&record) {
            continue;
        }
        for taken in dead_letters.resolve(record).await? {
            if intake.is_cut(&taken.at) {
                break;
            }
            match read(projection, taken.record()).await {
                Ok((events, mut more)) => {
                    changes.append(&mut more);
                    intake.take(taken, events);
                }
                Err(failure) => {
                    intake.fail(&taken, failure, dead_letters).await?;
                }
            }
        }
    }
    match write(projection, pool, checkpoints, changes, &intake.upto).await {
        Ok(()) => {}
        Err(WriteError::Values(error)) if intake.items.is_empty() => {
            return Err(Halt::transient(error));
        }
        Err(WriteError::Values(_)) => {
            write_one_by_one(projection, pool, checkpoints, dead_letters, &mut intake).await?;
        }
        Err(WriteError::Halt(halt)) => return Err(halt),
    }
    intake.end()
}

/// The events of a record and what changes because of them.
async fn read<P: PgProjection>(
    projection: &P,
    record: &Record,
) -> Result<(Vec<Recorded<P::Event>>, Vec<P::Change>), Failure> {
    let events = guarded_async(projection.decode(record)).await?;
    let changes = project(projection, record, &events)?;
    Ok((events, changes))
}

fn project<P: PgProjection>(
    projection: &P,
    record: &Record,
    events: &[Recorded<P::Event>],
) -> Result<Vec<P::Change>, Failure> {
    let position = record.position();
    guarded(|| {
        events
            .iter()
            .flat_map(|recorded| projection.project(recorded, &position))
            .collect()
    })
}

/// Something in the batch is refused: finds out whose, and lets the others pass.
async fn write_one_by_one<P: PgProjection>(
    projection: &P,
    pool: &Pool,
    checkpoints: &Checkpoints,
    dead_letters: &DeadLetters,
    intake: &mut Intake<Vec<Recorded<P::Event>>>,
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
        let changes = project(projection, taken.record(), &events)?;
        match write(projection, pool, checkpoints, changes, &upto).await {
            Ok(()) => {}
            Err(WriteError::Halt(halt)) => return Err(halt),
            Err(WriteError::Values(error)) => {
                if intake.fail(&taken, error.into(), dead_letters).await? {
                    write_nothing(projection, pool, checkpoints, &upto).await?;
                }
            }
        }
    }
    // The last records of a partition may have been poison already when decoded.
    write_nothing(projection, pool, checkpoints, &intake.upto).await
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

/// Moves the checkpoints alone.
async fn write_nothing<P: PgProjection>(
    projection: &P,
    pool: &Pool,
    checkpoints: &Checkpoints,
    upto: &[Claimed],
) -> Result<(), Halt> {
    match write(projection, pool, checkpoints, Vec::new(), upto).await {
        Ok(()) => Ok(()),
        Err(WriteError::Halt(halt)) => Err(halt),
        Err(WriteError::Values(error)) => Err(Halt::transient(error)),
    }
}

enum WriteError {
    /// Something about the values is refused, for good or for now.
    Values(platform_postgres::Error),
    Halt(Halt),
}

impl From<platform_postgres::Error> for WriteError {
    fn from(error: platform_postgres::Error) -> Self {
        if error.is_data_error() || error.is_refusal() {
            Self::Values(error)
        } else {
            Self::Halt(error.into())
        }
    }
}

async fn write<P: PgProjection>(
    projection: &P,
    pool: &Pool,
    checkpoints: &Checkpoints,
    changes: Vec<P::Change>,
    upto: &[Claimed],
) -> Result<(), WriteError> {
    let started = Instant::now();
    let result = tokio::time::timeout(
        DEADLINE,
        transaction(projection, pool, checkpoints, changes, upto),
    )
    .await
    .unwrap_or_else(|_| {
        Err(WriteError::Halt(Halt::transient(
            "a transaction took too long",
        )))
    });
    metrics::histogram!(crate::metric::COMMIT, "runner" => P::NAME)
        .record(started.elapsed().as_secs_f64());
    result
}

async fn transaction<P: PgProjection>(
    projection: &P,
    pool: &Pool,
    checkpoints: &Checkpoints,
    changes: Vec<P::Change>,
    upto: &[Claimed],
) -> Result<(), WriteError> {
    let mut client = pool.get().await?;
    let tx = client
        .transaction()
        .await
        .map_err(platform_postgres::Error::from)?;
    use_schema(&tx, checkpoints.schema()).await?;
    checkpoints.advance(&tx, upto).await?;
    if !changes.is_empty() {
        projection
            .apply(&tx, changes)
            .await
            .map_err(platform_postgres::Error::from)?;
    }
    let committed = tx.commit().await.map_err(platform_postgres::Error::from);
    settle(pool, checkpoints, upto, committed).await?;
    Ok(())
}

/// What became of a commit: when its answer was lost, the checkpoint tells.
pub(crate) async fn settle(
    pool: &Pool,
    checkpoints: &Checkpoints,
    upto: &[Claimed],
    committed: Result<(), platform_postgres::Error>,
) -> Result<(), platform_postgres::Error> {
    let Err(error) = committed else {
        return Ok(());
    };
    if !error.is_ambiguous() {
        return Err(error);
    }
    match checkpoints.resolve(pool, upto).await? {
        Resolution::Committed => Ok(()),
        Resolution::NotCommitted => Err(error),
        Resolution::Fenced => Err(platform_postgres::Error::Fenced {
            schema: checkpoints.schema().to_owned(),
        }),
    }
}
