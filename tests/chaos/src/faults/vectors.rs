use anyhow::{Context as _, ensure};
use domain_kernel::CorrelationId;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use platform_testkit::eventually;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tests_kit::{Ticket, of_name};

use crate::load::ticket;
use crate::scene::RECOVERY;
use crate::{Delivery, Fault, Scene};

pub(super) const LOST: Fault = Fault::new("F21", "vector files lost or cut", lost);

/// The files are cut short, spoiled or gone when the role starts. What is said
/// then is found to be the neighbour of what was said before. By another customer
/// each time: what was said in the very same words is found without the index.
fn lost<'a>(scene: &'a Scene<'a>) -> BoxFuture<'a, anyhow::Result<()>> {
    async move {
        let stand = scene.stand;
        let rounds = scene.profile.pick(1, 3);
        let mut known = Vec::new();
        for number in 0..=rounds {
            known.push(Known::share(scene, number).await?);
        }
        known[0].is_found(scene).await?;
        let directory = stand.direct().data_dir.join("vectors");
        let mut told = Vec::new();
        for customer in &known[1..] {
            // It is written every few seconds.
            let written = eventually(RECOVERY, || async {
                ensure!(!files(&directory)?.is_empty(), "no file");
                anyhow::Ok(())
            });
            written.await.context("the index is not written")?;
            stand.mesh.kill("federation")?;
            for path in files(&directory)? {
                let harm = scene.dice().below(3);
                spoil(&path, harm)?;
                told.push(["cut", "spoiled", "removed"][usize::try_from(harm)?]);
            }
            stand.mesh.start_roles(&["federation"]).await?;
            customer.is_found(scene).await?;
            scene.acknowledged_more(2).await?;
        }
        scene.note(format!(
            "files {}; the neighbour was found each time",
            told.join(", ")
        ));
        scene.judge_too(known.into_iter().map(|one| one.delivery));
        Ok(())
    }
    .boxed()
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// A customer who said something once.
struct Known {
    delivery: Delivery,
    word: String,
    context: Value,
}

impl Known {
    async fn share(scene: &Scene<'_>, number: usize) -> anyhow::Result<Self> {
        let key = format!("{}-known{number}", scene.name);
        let word = scene.dice().word(10);
        let mut delivery = Delivery::new(ticket(&key, 0, &word), &key, 0);
        let answer = scene.stand.sender()?.deliver(&delivery.ticket).await;
        delivery.note(&answer);
        let shared = placed(scene, delivery.ticket.correlation(), "ContextShared").await?;
        Ok(Self {
            delivery,
            word,
            context: shared["context_id"].clone(),
        })
    }

    /// Says almost the same, which must be merged with what was said.
    async fn is_found(&self, scene: &Scene<'_>) -> anyhow::Result<()> {
        let near = again(&self.delivery.ticket, &format!("{}near", self.word));
        scene.stand.sender()?.deliver(&near).await?;
        let merged = placed(scene, near.correlation(), "ContextMerged").await?;
        ensure!(
            merged["context_id"] == self.context && merged["exact"] == false,
            "merged as {merged}, not as a neighbour into {}",
            self.context
        );
        Ok(())
    }
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

fn spoil(path: &Path, harm: u64) -> anyhow::Result<()> {
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
async fn placed(
    scene: &Scene<'_>,
    correlation: CorrelationId,
    name: &'static str,
) -> anyhow::Result<Value> {
    let observer = scene.stand.observer().await?;
    let trail = observer.recorded(correlation, name).await?;
    let entry = of_name(&trail, name)
        .into_iter()
        .next()
        .context("no event")?;
    Ok(serde_json::to_value(&entry.body)?)
}
