use anyhow::ensure;
use tests_kit::Observer;

use crate::Stand;
use crate::ledger::{Ledger, writes};
use crate::oracle::{Digests, World};
use crate::scene::RECOVERY;

/// What the mesh holds once nothing is under way any more.
pub(crate) async fn world(stand: &Stand, observer: &Observer) -> anyhow::Result<World> {
    observer.at_rest(RECOVERY).await?;
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
