//! `agentmesh replay`.

use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Arc;

use domain_kernel::Timestamp;
use platform_config::Settings;
use services_replay::{Failure, ReadModel, Rebuilt, Replay, verify_deliveries};

use crate::settings;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Drop read models and build them anew from the log
    Rebuild {
        #[command(flatten)]
        which: Which,
    },
    /// Prove again, from the log alone, that stored deliveries are what their senders signed
    ///
    /// Ends with 1 when one of them cannot be proven.
    VerifyDeliveries {
        #[command(flatten)]
        which: Deliveries,
    },
    /// Print a digest of what read models hold, the same on every deployment that holds the same
    Digest {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Deliveries {
    /// Only those of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Only those that came in by this source
    #[arg(long)]
    source: Option<String>,
    /// Only those recorded at this time or later, such as 2026-11-22T17:00:00Z
    #[arg(long, value_parser = moment)]
    from: Option<Timestamp>,
    /// Only those recorded before this time
    #[arg(long, value_parser = moment)]
    to: Option<Timestamp>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).map_err(|error| error.to_string())
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
    match action {
        Action::VerifyDeliveries { which } => verify(&settings, which).await,
        Action::Rebuild { which } => {
            let replay = Replay::new(Arc::new(settings)).await?;
            for read_model in which.read_models() {
                let rebuilt = replay.rebuild(read_model).await?;
                show_rebuilt(&rebuilt, which.json)?;
            }
            Ok(())
        }
        Action::Digest { which } => {
            let replay = Replay::new(Arc::new(settings)).await?;
            for read_model in which.read_models() {
                let digested = replay.digest(read_model).await?;
                let mut out = stdout().lock();
                if which.json {
                    writeln!(out, "{}", serde_json::to_string(&digested)?)?;
                } else {
                    writeln!(out, "{:<16} {}", read_model.name(), digested.digest)?;
                }
            }
            Ok(())
        }
    }
}

async fn verify(settings: &Settings, deliveries: Deliveries) -> anyhow::Result<()> {
    let which = services_replay::Which {
        tenant: deliveries.tenant,
        source: deliveries.source,
        from: deliveries.from,
        to: deliveries.to,
    };
    let json = deliveries.json;
    // Written as they are found: there may be many, and proving takes a while.
    let mut written = Ok(());
    let found = verify_deliveries(settings, &which, |failure| {
        if written.is_ok() {
            written = show_failure(failure, json);
        }
    })
    .await?;
    written?;
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&found)?)?;
    } else {
        writeln!(
            out,
            "{} deliveries: {} proven by their signature, {} unsigned with the right digest, {} failed",
            found.deliveries, found.proven, found.unsigned, found.failed
        )?;
    }
    drop(out);
    anyhow::ensure!(
        found.failed == 0,
        "{} deliveries cannot be proven",
        found.failed
    );
    Ok(())
}

fn show_failure(failure: &Failure, json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(failure)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "FAILED {}/{}@{} correlation {} source {} key {}: {}",
        failure.topic,
        failure.partition,
        failure.offset,
        failure.correlation_id.as_deref().unwrap_or("?"),
        failure.source_id.as_deref().unwrap_or("?"),
        failure.key_id.as_deref().unwrap_or("?"),
        failure.reason
    )?;
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
