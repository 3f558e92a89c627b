use anyhow::{Context as _, ensure};
use platform_testkit::eventually;
use tests_kit::Observer;

use crate::Stand;
use crate::ledger::{Ledger, writes};
use crate::oracle::{Digests, World};
use crate::scene::RECOVERY;

/// What the mesh holds once nothing is under way any more.
pub(crate) async fn world(stand: &Stand, observer: &Observer) -> anyhow::Result<World> {
    observer.at_rest(RECOVERY).await?;
    vectors_are_written(stand, observer).await?;
    let live = digests(stand, "digest").await?;
    let replayed = digests(stand, "rebuild").await?;
    let journal = stand.direct().crm_sandbox.data_dir.join("journal.jsonl");
    Ok(World {
        ledger: Ledger::read(observer).await?,
        writes: writes(&std::fs::read_to_string(journal)?)?,
        digests: live
            .into_iter()
            .zip(replayed)
            .map(|((read_model, live), (_, replayed))| Digests {
                read_model,
                live,
                replayed,
            })
            .collect(),
    })
}

/// The vector index is compared by its files, which are written some seconds
/// after what they hold.
async fn vectors_are_written(stand: &Stand, observer: &Observer) -> anyhow::Result<()> {
    let ends = observer.ends("mesh.contexts").await?;
    let wanted: i64 = ends.values().sum();
    let written = eventually(RECOVERY, || async {
        let digest = ["replay", "digest", "context-vectors", "--json"];
        let said: serde_json::Value = serde_json::from_str(&stand.mesh.run(&digest).await?)?;
        let offsets = said["offsets"]["mesh.contexts"].as_object();
        let offsets = offsets.into_iter().flat_map(|of| of.values());
        let at: i64 = offsets.filter_map(serde_json::Value::as_i64).sum();
        ensure!(at == wanted, "at {at} of {wanted}: {said}");
        Ok(())
    });
    written.await.context("the vector files are not written")
}

/// What `agentmesh replay` says of each read model.
async fn digests(stand: &Stand, action: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut arguments = vec!["replay", action, "--all", "--json"];
    if action == "rebuild" {
        // The oracle compares, and tells of a difference like of any other.
        arguments.push("--no-check");
    }
    let text = stand.mesh.run(&arguments).await?;
    let mut digests = Vec::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        digests.push((field("read_model"), field("digest")));
    }
    ensure!(!digests.is_empty(), "replay {action} printed no digest");
    Ok(digests)
}
