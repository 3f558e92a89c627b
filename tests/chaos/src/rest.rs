use anyhow::{Context as _, ensure};
use platform_log::Admin;
use platform_redis::{Redis, Script};
use platform_testkit::eventually;
use tests_kit::Observer;

use crate::Stand;
use crate::ledger::{Ledger, writes};
use crate::oracle::{Digests, World};
use crate::scene::RECOVERY;

/// Where the runners keep their checkpoints in Postgres.
const SCHEMAS: [&str; 12] = [
    "deliveries",
    "decisions",
    "contexts",
    "executions",
    "workflows",
    "effects",
    "agents",
    "audit",
    "federation",
    "workflow",
    "agent_runs",
    "sync",
];

/// Where the cache keeps its own.
const POSITION: Script = Script::new("return redis.call('HGET', KEYS[1], ARGV[1])");

/// What the mesh holds once nothing is under way any more.
pub(crate) async fn world(stand: &Stand, observer: &Observer) -> anyhow::Result<World> {
    quiet(stand, observer).await?;
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

/// Waits until every checkpoint stands at the end of its topic.
async fn quiet(stand: &Stand, observer: &Observer) -> anyhow::Result<()> {
    let admin = Admin::new(&stand.direct().kafka)?;
    let union: Vec<String> = SCHEMAS
        .iter()
        .map(|schema| {
            format!("SELECT '{schema}' AS runner, topic, partition, next_offset FROM \"{schema}\".mesh_checkpoint")
        })
        .collect();
    let query = union.join(" UNION ALL ");
    let redis = Redis::connect(&stand.direct().redis).await?;
    let settled = eventually(RECOVERY, || async {
        let rows = observer.rows(&query, &[]).await?;
        let mut ends = std::collections::HashMap::new();
        for row in &rows {
            let (runner, topic): (String, String) = (row.get(0), row.get(1));
            let (partition, next): (i32, i64) = (row.get(2), row.get(3));
            if !ends.contains_key(&topic) {
                ends.insert(topic.clone(), admin.high_watermarks(&topic).await?);
            }
            let end = ends[&topic]
                .iter()
                .find(|(number, _)| *number == partition)
                .map_or(0, |(_, end)| *end);
            ensure!(
                next == end,
                "{runner} is at {next} of {end} in {topic}/{partition}"
            );
        }
        // The cache keeps its offset with itself, and has lost it when flushed.
        let live = redis.get("context-cache:live").await?.unwrap_or_default();
        let live = String::from_utf8_lossy(&live).into_owned();
        let start = match live.as_str() {
            "" | "0" => String::new(),
            number => format!("cache{number}:"),
        };
        for (partition, end) in admin.high_watermarks("mesh.contexts").await? {
            let key = format!("{start}context-cache:position:{partition}");
            let at: Option<String> = redis
                .eval(&POSITION, &[key], vec![b"mesh.contexts".to_vec()])
                .await?;
            let at = at.unwrap_or_else(|| "0".to_owned());
            ensure!(
                at == end.to_string(),
                "the cache is at {at} of {end} in partition {partition}"
            );
        }
        Ok(())
    });
    settled.await.context("the mesh does not come to rest")
}
