//! `agentmesh replay`.

use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Arc;

use services_replay::{ReadModel, Rebuilt, Replay};

use crate::settings;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Drop read models and build them anew from the log
    Rebuild {
        #[command(flatten)]
        which: Which,
    },
    /// Print a digest of what read models hold, the same on every deployment that holds the same
    Digest {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// A read model, such as deliveries or context-cache; may be repeated
    #[arg(value_name = "READ_MODEL", required_unless_present = "all")]
    read_models: Vec<ReadModel>,
    /// All of them
    #[arg(long, conflicts_with = "read_models")]
    all: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: Option<&Path>, action: Action) -> anyhow::Result<()> {
    let settings = settings::load_as_running(config).await?;
    let _telemetry = settings::quiet_telemetry(&settings)?;
    let replay = Replay::new(Arc::new(settings)).await?;
    match action {
        Action::Rebuild { which } => {
            for read_model in which.read_models() {
                let rebuilt = replay.rebuild(read_model).await?;
                show_rebuilt(&rebuilt, which.json)?;
            }
        }
        Action::Digest { which } => {
            for read_model in which.read_models() {
                let digested = replay.digest(read_model).await?;
                let mut out = stdout().lock();
                if which.json {
                    writeln!(out, "{}", serde_json::to_string(&digested)?)?;
                } else {
                    writeln!(out, "{:<16} {}", read_model.name(), digested.digest)?;
                }
            }
        }
    }
    Ok(())
}

fn show_rebuilt(rebuilt: &Rebuilt, json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(rebuilt)?)?;
        return Ok(());
    }
    let seconds = rebuilt.took.as_secs_f64();
    writeln!(
        out,
        "{:<16} {}  {} records in {seconds:.2} s",
        rebuilt.read_model.name(),
        rebuilt.digest,
        rebuilt.records
    )?;
    Ok(())
}

impl Which {
    fn read_models(&self) -> Vec<ReadModel> {
        if self.all {
            ReadModel::ALL.to_vec()
        } else {
            self.read_models.clone()
        }
    }
}
