use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_log::{Outgoing, Producer, Record};
use platform_testkit::eventually;
use std::collections::{BTreeMap, BTreeSet};
use tests_kit::Observer;

use crate::scene::RECOVERY;
use crate::{Fault, Scene};

pub(super) const POISON: Fault = Fault::new("F11", "poison on every topic", poison);

/// A topic, and who must have sent its poison away.
const TOPICS: [(&str, &[&str]); 8] = [
    ("mesh.deliveries", &["deliveries", "audit", "federation"]),
    ("mesh.contexts", &["contexts", "audit", "context-cache"]),
    ("mesh.notifications", &["audit", "workflow"]),
    ("mesh.workflows", &["workflows", "audit"]),
    ("mesh.executions", &["executions", "audit", "agent-runs"]),
    ("mesh.results", &["executions", "audit", "workflow"]),
    ("mesh.effects", &["effects", "audit", "sync"]),
    ("mesh.outcomes", &["effects", "audit", "workflow"]),
];

/// Makes what is written in place of a good value.
type Spoil = fn(&[u8]) -> Vec<u8>;

/// What is written in place of a good value, made of it.
const KINDS: [(&str, Spoil); 4] = [
    ("cut short", |good| good[..good.len().min(7)].to_vec()),
    ("no frame", |_| b"\x01not what it should be".to_vec()),
    ("a schema nobody knows", |good| {
        let mut value = good.to_vec();
        value[1..5].copy_from_slice(&999_999_999_u32.to_be_bytes());
        value
    }),
    ("empty", |_| Vec::new()),
];

fn poison<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let observer = scene.stand.observer().await?;
        let producer = Producer::new(&scene.stand.direct().kafka)?;
        let mut sent: BTreeMap<String, (Bytes, &[&str])> = BTreeMap::new();
        for (topic, consumers) in TOPICS {
            let records = observer.topic(topic).await?;
            let sample = records
                .last()
                .with_context(|| format!("nothing in {topic}"))?;
            for (_, spoil) in KINDS {
                let good = sample.value.clone().unwrap_or_default();
                let value = Bytes::from(spoil(&good));
                let bad = Record {
                    value: Some(value.clone()),
                    ..sample.clone()
                };
                let outgoing = Outgoing::dead_letter(topic, &bad, &[]).to_partition(bad.partition);
                let at = producer.append(outgoing).await?;
                let origin = format!("{}/{}/{}", at.topic, at.partition, at.offset);
                sent.insert(origin, (value, consumers));
            }
        }
        // The partitions move on behind it.
        scene.acknowledged_more(4).await?;
        let letters = eventually(RECOVERY, || letters(&observer, &sent))
            .await
            .context("poison is not with the dead letters")?;
        scene.note(format!(
            "{} bad records of {} kinds, {letters} dead letters",
            sent.len(),
            KINDS.len()
        ));
        Ok(())
    }
    .boxed()
}

/// How many dead letters there are of what was sent, once each consumer has
/// sent its own, with the bytes as they were and a reason.
async fn letters(
    observer: &Observer,
    sent: &BTreeMap<String, (Bytes, &[&str])>,
) -> anyhow::Result<usize> {
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut count = 0;
    let letters = observer.topic("mesh.dead-letters").await?;
    for letter in &letters {
        let header = |name| letter.header(name).unwrap_or_default();
        let origin = header("mesh-dead-letter-origin");
        let Some((origin, (value, _))) = sent.get_key_value(origin) else {
            continue;
        };
        count += 1;
        ensure!(!header("mesh-dead-letter-reason").is_empty(), "no reason");
        ensure!(
            letter.value.clone().unwrap_or_default() == *value,
            "the letter from {origin} has other bytes"
        );
        let consumer = header("mesh-dead-letter-consumer").to_owned();
        found.entry(origin).or_default().insert(consumer);
    }
    for (origin, (_, consumers)) in sent {
        let none = BTreeSet::new();
        let by = found.get(origin.as_str()).unwrap_or(&none);
        let missing: Vec<_> = consumers.iter().filter(|one| !by.contains(**one)).collect();
        ensure!(
            missing.is_empty(),
            "{origin}: none by {missing:?}, only by {by:?}"
        );
    }
    Ok(count)
}
