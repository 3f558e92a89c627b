use anyhow::{Context as _, ensure};
use domain_kernel::CorrelationId;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tests_kit::{Observer, Ticket, of_name};

use crate::load::ticket;
use crate::{Delivery, Fault, Scene};

pub(super) const LOST: Fault = Fault::new("F21", "vector files lost or cut", lost);

/// The files are cut short, spoiled or gone when the role starts. It finds the
/// same neighbours at the same distance as before.
fn lost<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let stand = scene.stand;
        let observer = stand.observer().await?;
        let sender = stand.sender()?;
        let key = format!("{}-known", scene.name);
        let word = scene.dice().word(10);
        let mut known = Delivery::new(ticket(&key, 0, &word), &key, 0);
        let answer = sender.deliver(&known.ticket).await;
        known.note(&answer);
        let placed = |name: &'static str, correlation: CorrelationId| {
            let observer = &observer;
            async move { context_of(observer, correlation, name).await }
        };
        let shared = placed("ContextShared", known.ticket.correlation()).await?;
        let near = again(&known.ticket, &format!("{word}near"));
        sender.deliver(&near).await?;
        let before = placed("ContextMerged", near.correlation()).await?;
        ensure!(
            before["context_id"] == shared["context_id"],
            "merged into {before}, not into {shared}"
        );
        let directory = stand.direct().data_dir.join("vectors");
        let mut told = Vec::new();
        for round in 0..scene.profile.pick(2, 6) {
            stand.mesh.kill("federation")?;
            for entry in std::fs::read_dir(&directory)? {
                let path = entry?.path();
                let harm = scene.dice().below(3);
                spoil(&path, harm)?;
                told.push(["cut", "spoiled", "removed"][usize::try_from(harm)?]);
            }
            stand.mesh.start_roles(&["federation"]).await?;
            let near = again(&known.ticket, &format!("{word}again{round}"));
            sender.deliver(&near).await?;
            let after = placed("ContextMerged", near.correlation()).await?;
            for field in ["context_id", "cosine", "neighbour"] {
                ensure!(
                    after[field] == before[field],
                    "{field} was {} and is {}",
                    before[field],
                    after[field]
                );
            }
            scene.acknowledged_more(2).await?;
        }
        scene.note(format!(
            "files {}; the same neighbour each time",
            told.join(", ")
        ));
        scene.judge_too([known]);
        Ok(())
    }
    .boxed()
}

/// The same, told anew in almost the same words, so that it takes the index to
/// see that it is the same.
fn again(ticket: &Ticket, word: &str) -> Ticket {
    Ticket {
        delivery_id: format!("msg_{word}"),
        text: format!("{} Thank you.", ticket.text),
        ..ticket.clone()
    }
}

fn spoil(path: &std::path::Path, harm: u64) -> anyhow::Result<()> {
    match harm {
        0 => {
            let file = std::fs::OpenOptions::new().write(true).open(path)?;
            file.set_len(file.metadata()?.len() / 2)?;
        }
        1 => {
            let mut bytes = std::fs::read(path)?;
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0xff;
            }
            std::fs::write(path, bytes)?;
        }
        _ => std::fs::remove_file(path)?,
    }
    Ok(())
}

/// The event that says where a delivery was placed.
async fn context_of(
    observer: &Observer,
    correlation: CorrelationId,
    name: &str,
) -> anyhow::Result<Value> {
    let trail = observer.recorded(correlation, name).await?;
    let entry = of_name(&trail, name)
        .into_iter()
        .next()
        .context("no event")?;
    Ok(serde_json::to_value(&entry.body)?)
}
