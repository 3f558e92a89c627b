use std::collections::{BTreeMap, HashMap, HashSet};

use domain_kernel::Recorded;
use platform_postgres::{Claimed, Migration, Pool, tokio_postgres};
use tracing::info;

use super::Executor;
use super::progress::{Mark, Vector};
use super::runner::ExecutorRole;
use crate::dead_letter::Taken;
use crate::intake::guarded_async;
use crate::read::Stretch;
use crate::session::Halt;

/// What is finished, for ever: a request may be appended again by whoever asked
/// for it, long after it was answered. And from where the answer topic is to be
/// read after a restart, for each partition of requests.
pub(super) const MIGRATION: Migration = Migration {
    version: 1,
    name: "executor",
    sql: "CREATE TABLE mesh_finished (
              stream text PRIMARY KEY
          );
          CREATE TABLE mesh_answers_from (
              partition integer NOT NULL,
              answer_partition integer NOT NULL,
              next_offset bigint NOT NULL,
              PRIMARY KEY (partition, answer_partition)
          ) WITH (fillfactor = 50);",
};

/// Answers found on the log to requests that have no final one yet.
pub(super) type Histories<A> = HashMap<String, Vec<Recorded<A>>>;

impl<E: Executor> ExecutorRole<E> {
    /// Reads the answer topic, all partitions, from the recorded offsets to the
    /// end: notes what is finished, and remembers the answers to what is not.
    /// Answers the recorded offsets of each partition, and where the topic ends.
    pub(super) async fn recover(
        &mut self,
        claims: &[Claimed],
    ) -> Result<(BTreeMap<i32, Vector>, Vector), Halt> {
        let answer_topic = self.executor.answer_topic();
        let ends: Vector = self
            .admin
            .high_watermarks(answer_topic)
            .await?
            .into_iter()
            .collect();
        let inherited = self.recorded(claims, &ends).await?;
        let from: Vec<(i32, i64)> = ends
            .keys()
            .map(|answer_partition| {
                let lowest = inherited
                    .values()
                    .map(|vector| vector.get(answer_partition).copied().unwrap_or(0))
                    .min();
                (*answer_partition, lowest.unwrap_or(0))
            })
            .collect();
        let mut stretch =
            Stretch::open(&self.admin, &self.deps.settings.kafka, answer_topic, from).await?;
        let mut read = 0;
        loop {
            let records = stretch.next().await?;
            if records.is_empty() {
                break;
            }
            read += records.len();
            let mut finished = Vec::new();
            for record in records {
                let answer = match guarded_async(self.executor.decode_answer(&record)).await {
                    Ok(answer) => answer,
                    Err(failure) => {
                        self.dead_letters.pass_over(record, failure).await?;
                        continue;
                    }
                };
                let stream = answer.meta.stream.clone();
                if self.executor.is_final(&answer.event) {
                    self.histories.remove(&stream);
                    finished.push(stream);
                    continue;
                }
                follow_on(&mut self.histories, answer);
            }
            note_finished(&self.deps.pool, self.store.checkpoints.schema(), &finished).await?;
        }
        if read > 0 {
            info!(
                executor.name = E::NAME,
                records = read,
                unfinished = self.histories.len(),
                "answers read on takeover"
            );
        }
        let ends = stretch.ends().into_iter().collect();
        Ok((inherited, ends))
    }

    /// Reads what was answered to requests that come back from the dead letters:
    /// that may be long ago, and their next answer has to follow on. The whole
    /// answer topic is read for it, which is the price of a rare thing.
    pub(super) async fn recall(
        &mut self,
        items: &[(Taken, Option<Recorded<E::Request>>)],
        finished: &HashSet<String>,
    ) -> Result<(), Halt> {
        let streams: HashSet<String> = items
            .iter()
            .filter(|(taken, _)| taken.is_redriven())
            .filter_map(|(_, request)| request.as_ref())
            .map(|request| self.executor.stream(request))
            .filter(|stream| !finished.contains(stream))
            .collect();
        if streams.is_empty() {
            return Ok(());
        }
        let answer_topic = self.executor.answer_topic();
        let partitions = self.admin.partition_count(answer_topic).await?;
        let from = (0..partitions as i32).map(|number| (number, 0)).collect();
        let mut stretch =
            Stretch::open(&self.admin, &self.deps.settings.kafka, answer_topic, from).await?;
        let mut histories: Histories<E::Answer> = HashMap::new();
        loop {
            let records = stretch.next().await?;
            if records.is_empty() {
                break;
            }
            for record in records {
                let Ok(meta) = record.metadata() else {
                    continue;
                };
                if !streams.contains(&meta.stream) {
                    continue;
                }
                match guarded_async(self.executor.decode_answer(&record)).await {
                    Ok(answer) => follow_on(&mut histories, answer),
                    Err(failure) => self.dead_letters.pass_over(record, failure).await?,
                }
            }
        }
        info!(
            executor.name = E::NAME,
            streams = streams.len(),
            "answers read for requests that come back"
        );
        self.histories.extend(histories);
        Ok(())
    }

    /// The recorded offsets of the answer topic for each claimed partition; all
    /// from the beginning for a partition that has none.
    async fn recorded(
        &self,
        claims: &[Claimed],
        ends: &Vector,
    ) -> Result<BTreeMap<i32, Vector>, Halt> {
        let start: Vector = ends.keys().map(|partition| (*partition, 0)).collect();
        let mut recorded: BTreeMap<i32, Vector> = claims
            .iter()
            .map(|claim| (claim.partition, start.clone()))
            .collect();
        let partitions: Vec<i32> = recorded.keys().copied().collect();
        let client = self.deps.pool.get().await?;
        let rows = client
            .query(
                &format!(
                    "SELECT partition, answer_partition, next_offset
                     FROM \"{}\".mesh_answers_from WHERE partition = ANY($1)",
                    self.store.checkpoints.schema()
                ),
                &[&partitions],
            )
            .await?;
        for row in rows {
            let partition: i32 = row.try_get(0)?;
            if let Some(vector) = recorded.get_mut(&partition) {
                vector.insert(row.try_get(1)?, row.try_get(2)?);
            }
        }
        Ok(recorded)
    }
}

/// Of answers with the same version the first one counts.
fn follow_on<A>(histories: &mut Histories<A>, answer: Recorded<A>) {
    let history = histories.entry(answer.meta.stream.clone()).or_default();
    let version = history.last().map_or(0, |last| last.meta.version);
    if answer.meta.version > version {
        history.push(answer);
    }
}

async fn note_finished(pool: &Pool, schema: &str, streams: &[String]) -> Result<(), Halt> {
    if streams.is_empty() {
        return Ok(());
    }
    let client = pool.get().await?;
    client
        .execute(
            &format!(
                "INSERT INTO \"{schema}\".mesh_finished (stream)
                 SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING"
            ),
            &[&streams],
        )
        .await?;
    Ok(())
}

/// Which of these streams are finished.
pub(super) async fn finished_among(
    pool: &Pool,
    schema: &str,
    streams: &[&str],
) -> Result<Vec<String>, Halt> {
    if streams.is_empty() {
        return Ok(Vec::new());
    }
    let client = pool.get().await?;
    let rows = client
        .query(
            &format!("SELECT stream FROM \"{schema}\".mesh_finished WHERE stream = ANY($1)"),
            &[&streams],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Writes one partition's mark within the transaction that moves its checkpoint.
pub(super) async fn save(
    tx: &tokio_postgres::Transaction<'_>,
    partition: i32,
    mark: &Mark,
) -> Result<(), Halt> {
    if !mark.finished.is_empty() {
        tx.execute(
            "INSERT INTO mesh_finished (stream)
             SELECT DISTINCT unnest($1::text[]) ON CONFLICT DO NOTHING",
            &[&mark.finished],
        )
        .await?;
    }
    let (answer_partitions, offsets): (Vec<i32>, Vec<i64>) = mark.answers_from.iter().unzip();
    tx.execute(
        "INSERT INTO mesh_answers_from (partition, answer_partition, next_offset)
         SELECT $1, a, o FROM unnest($2::int4[], $3::int8[]) AS u (a, o)
         ON CONFLICT (partition, answer_partition) DO UPDATE SET next_offset = excluded.next_offset",
        &[&partition, &answer_partitions, &offsets],
    )
    .await?;
    Ok(())
}
