use std::sync::Arc;

use platform_log::Record;
use platform_postgres::tokio_postgres::Transaction;
use platform_postgres::{Checkpoints, Claimed, Client, use_schema};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use super::places::{Places, between};
use super::source::Source;
use super::{ProgressSink, Stage, next_offsets, stopped};
use crate::dead_letter::{GivenUp, TOPIC};
use crate::error::chain;
use crate::intake::{guarded_async, projected};
use crate::pg::TOGETHER;
use crate::{Deps, Failure, PgProjection};

/// Records of one topic, decoded and projected.
struct Chunk<P: PgProjection> {
    /// What was understood, kept until the changes are written.
    understood: Vec<Record>,
    /// Combined.
    changes: Vec<P::Change>,
    /// Behind the last record of each partition.
    reached: Vec<(String, i32, i64)>,
    records: u64,
}

/// Fills the tables of a shadow.
pub(super) struct Filler<'a, P> {
    pub(super) projection: &'a Arc<P>,
    pub(super) deps: &'a Deps,
    pub(super) checkpoints: &'a Checkpoints,
    pub(super) progress: &'a ProgressSink,
    pub(super) stop: &'a tokio_util::sync::CancellationToken,
    pub(super) given_up: Arc<GivenUp>,
    /// Whether the tables have their keys, so that rows are guarded.
    pub(super) keyed: bool,
}

impl<P: PgProjection> Filler<'_, P> {
    /// Reads from where the claims are to `ends` and moves the claims on. One
    /// task reads and another decodes while this one writes; each chunk commits with
    /// its offsets. Answers how many records were read.
    pub(super) async fn fill(
        &self,
        claims: &mut [Claimed],
        ends: &Places,
        stage: Stage,
    ) -> Result<u64, Failure> {
        let from = next_offsets(claims);
        let total = between(&from, ends);
        if total == 0 {
            return Ok(0);
        }
        let source = Source::new(&self.deps.settings.kafka, &from, ends);
        let (records_out, records_in) = mpsc::channel(1);
        let (chunks_out, mut chunks) = mpsc::channel(1);
        // Dropped with this future, and the tasks with it.
        let mut reading = JoinSet::new();
        reading.spawn(read(source, records_out));
        let given_up = Arc::clone(&self.given_up);
        let projection = Arc::clone(self.projection);
        reading.spawn(prepare_all(projection, given_up, records_in, chunks_out));
        let mut client = self.deps.pool.get().await?;
        let mut records = 0;
        self.progress.tell(stage, 0, total);
        while let Some(chunk) = chunks.recv().await {
            let chunk: Chunk<P> = chunk?;
            let read = chunk.records;
            self.write(&mut client, claims, chunk).await?;
            records += read;
            self.progress.tell(stage, records.min(total), total);
            if self.stop.is_cancelled() {
                return Err(stopped());
            }
        }
        if between(&next_offsets(claims), ends) > 0 {
            return Err(Failure::transient("reading the log ended too early"));
        }
        Ok(records)
    }

    async fn write(
        &self,
        client: &mut Client,
        claims: &mut [Claimed],
        chunk: Chunk<P>,
    ) -> Result<(), Failure> {
        let mut upto = Vec::with_capacity(chunk.reached.len());
        for (topic, partition, next_offset) in &chunk.reached {
            let claim = claims
                .iter_mut()
                .find(|claim| claim.partition == *partition && claim.topic == *topic)
                .ok_or_else(|| Failure::transient("a record of a partition nobody claimed"))?;
            upto.push(Claimed {
                next_offset: *next_offset,
                ..claim.clone()
            });
        }
        let written = self.write_all(client, &upto, chunk.changes).await;
        match written {
            Ok(()) => {}
            Err(error) if error.is_data_error() || error.is_refusal() => {
                self.write_apart(client, &upto, &chunk.understood).await?;
            }
            Err(error) => return Err(error.into()),
        }
        for moved in upto {
            let claim = claims
                .iter_mut()
                .find(|claim| claim.partition == moved.partition && claim.topic == moved.topic);
            if let Some(claim) = claim {
                *claim = moved;
            }
        }
        Ok(())
    }

    async fn write_all(
        &self,
        client: &mut Client,
        upto: &[Claimed],
        changes: Vec<P::Change>,
    ) -> Result<(), platform_postgres::Error> {
        let tx = client.transaction().await?;
        self.begin(&tx, upto).await?;
        if !changes.is_empty() {
            self.apply(&tx, changes).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Some value is refused: the others pass. The live runner made a dead letter
    /// of the record when it met it. Halves are tried until the guilty ones stand
    /// alone, the earlier half first, so that rows come in their order.
    async fn write_apart(
        &self,
        client: &mut Client,
        upto: &[Claimed],
        records: &[Record],
    ) -> Result<(), Failure> {
        // Before the transaction: decoding may have to ask for a schema.
        let mut understood = Vec::with_capacity(records.len());
        for record in records {
            let events = guarded_async(self.projection.decode(record)).await?;
            understood.push((record, events));
        }
        let mut tx = client.transaction().await?;
        self.begin(&tx, upto).await?;
        let mut waiting = vec![understood.as_slice()];
        while let Some(some) = waiting.pop() {
            let mut changes = Vec::new();
            for (record, events) in some {
                let mut more = projected(record, events, |recorded, position| {
                    self.projection.project(recorded, position)
                })?;
                changes.append(&mut more);
            }
            if changes.is_empty() {
                continue;
            }
            let attempt = tx.transaction().await?;
            match self
                .apply(&attempt, changes)
                .await
                .map_err(platform_postgres::Error::from)
            {
                Ok(()) => attempt.commit().await?,
                Err(error) if error.is_data_error() || error.is_refusal() => {
                    attempt.rollback().await?;
                    if let [(record, _)] = some {
                        let position = record.position();
                        warn!(projection.name = P::NAME, record.position = ?position, error = %chain(&error), "record is refused");
                        self.given_up.pass_over(&position, error.into()).await?;
                    } else {
                        let (earlier, later) = some.split_at(some.len() / 2);
                        waiting.push(later);
                        waiting.push(earlier);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        tx.commit().await?;
        Ok(())
    }

    async fn begin(
        &self,
        tx: &Transaction<'_>,
        upto: &[Claimed],
    ) -> Result<(), platform_postgres::Error> {
        use_schema(tx, self.checkpoints.schema()).await?;
        // What a crash of the server takes away, it takes away with its offsets.
        tx.batch_execute("SET LOCAL synchronous_commit TO off")
            .await?;
        self.checkpoints.advance(tx, upto).await
    }

    async fn apply(
        &self,
        tx: &Transaction<'_>,
        changes: Vec<P::Change>,
    ) -> Result<(), platform_postgres::tokio_postgres::Error> {
        if self.keyed {
            self.projection.apply(tx, changes).await
        } else {
            self.projection.bulk(tx, changes).await
        }
    }
}

/// Reads until the source is read or nobody listens.
async fn read(mut source: Source, records: mpsc::Sender<Result<Vec<Record>, Failure>>) {
    loop {
        let next = source.next().await;
        let last = next.as_ref().map_or(true, Vec::is_empty);
        if records.send(next).await.is_err() || last {
            return;
        }
    }
}

/// Decodes and projects what is read, until it ends or nobody listens.
async fn prepare_all<P: PgProjection>(
    projection: Arc<P>,
    given_up: Arc<GivenUp>,
    mut records: mpsc::Receiver<Result<Vec<Record>, Failure>>,
    chunks: mpsc::Sender<Result<Chunk<P>, Failure>>,
) {
    while let Some(read) = records.recv().await {
        let chunk = match read {
            Ok(records) if records.is_empty() => return,
            Ok(records) => prepare(&*projection, &given_up, records).await,
            Err(failure) => Err(failure),
        };
        let failed = chunk.is_err();
        if chunks.send(chunk).await.is_err() || failed {
            return;
        }
    }
}

async fn prepare<P: PgProjection>(
    projection: &P,
    given_up: &GivenUp,
    records: Vec<Record>,
) -> Result<Chunk<P>, Failure> {
    // What a redrive names is read at its own place: here it changes nothing.
    let reads_letters = projection.topics().contains(&TOPIC);
    let mut chunk = Chunk {
        understood: Vec::with_capacity(records.len()),
        changes: Vec::with_capacity(records.len()),
        reached: Vec::new(),
        records: records.len() as u64,
    };
    // Not combined yet.
    let mut some = Vec::new();
    for record in records {
        let reached = chunk
            .reached
            .iter_mut()
            .find(|(topic, number, _)| *number == record.partition && *topic == record.topic);
        match reached {
            Some((_, _, next)) => *next = record.offset + 1,
            None => {
                let place = (record.topic.clone(), record.partition, record.offset + 1);
                chunk.reached.push(place);
            }
        }
        if record.topic == TOPIC && !reads_letters {
            continue;
        }
        let events = match guarded_async(projection.decode(&record)).await {
            Ok(events) => events,
            Err(failure) => {
                given_up.pass_over(&record.position(), failure).await?;
                continue;
            }
        };
        let changes = projected(&record, events, |recorded, position| {
            projection.project_owned(recorded, position)
        });
        if let Ok(mut changes) = changes {
            some.append(&mut changes);
            chunk.understood.push(record);
        }
        if some.len() >= TOGETHER {
            let mut combined = projection.combine(std::mem::take(&mut some));
            chunk.changes.append(&mut combined);
        }
    }
    chunk.changes.append(&mut projection.combine(some));
    Ok(chunk)
}
