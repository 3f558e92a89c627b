use anyhow::{Context as _, ensure};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all, try_join_all};
use platform_log::{Outgoing, Producer, Record};

use crate::load::ticket;
use crate::{Delivery, Fault, Scene};

pub(super) const A_HUNDRED_AT_ONCE: Fault =
    Fault::new("F9", "a hundred of one delivery at once", a_hundred_at_once);
pub(super) const SHUFFLED: Fault = Fault::new("F10", "old events again, out of order", shuffled);

fn a_hundred_at_once<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let rounds = scene.profile.pick(2, 5);
        let sender = scene.stand.sender()?;
        let mut firsts = 0;
        for round in 0..rounds {
            let key = format!("{}-hundred{round}", scene.name);
            let word = scene.dice().word(10);
            let mut delivery = Delivery::new(ticket(&key, 0, &word), &key, 0);
            let answers = join_all((0..100).map(|_| sender.post(&delivery.ticket))).await;
            // Of many that were let in at once, the one that is not a replay is noted first.
            let (first, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| {
                answer
                    .as_ref()
                    .is_ok_and(|a| a.status == 202 && !a.replayed)
            });
            firsts += first.len();
            ensure!(first.len() <= 1, "{} of a hundred were first", first.len());
            for answer in first.iter().chain(&others) {
                delivery.note(answer);
            }
            let last = sender.deliver(&delivery.ticket).await;
            delivery.note(&last);
            scene.judge_too([delivery]);
        }
        scene.note(format!("{rounds} × 100 at once, {firsts} first"));
        Ok(())
    }
    .boxed()
}

/// What a writer does that lost its partitions long ago: it appends what is
/// known already, and in the wrong order. Nothing of it may count.
const TOPICS: [&str; 9] = [
    "mesh.deliveries",
    "mesh.decisions",
    "mesh.contexts",
    "mesh.notifications",
    "mesh.workflows",
    "mesh.executions",
    "mesh.results",
    "mesh.effects",
    "mesh.outcomes",
];

fn shuffled<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let observer = scene.stand.observer().await?;
        let producer = Producer::new(&scene.stand.direct().kafka)?;
        let most = scene.profile.pick(30, 200);
        let mut appended = 0;
        for _ in 0..scene.profile.pick(2, 4) {
            let mut again: Vec<Outgoing> = Vec::new();
            for topic in TOPICS {
                let mut records = observer.topic(topic).await?;
                // Some of the newest: of runs that are under way now.
                records.sort_by_key(|record| record.timestamp_ms);
                let from = records.len().saturating_sub(most);
                again.extend(records[from..].iter().map(|record| same(topic, record)));
            }
            scene.dice().shuffle(&mut again);
            appended += again.len();
            try_join_all(again.into_iter().map(|record| producer.append(record)))
                .await
                .context("appending again")?;
            scene.acknowledged_more(3).await?;
        }
        scene.note(format!(
            "{appended} records of {} topics appended again",
            TOPICS.len()
        ));
        Ok(())
    }
    .boxed()
}

/// The record as it was, to where it was.
fn same(topic: &'static str, record: &Record) -> Outgoing {
    Outgoing::dead_letter(topic, record, &[]).to_partition(record.partition)
}
