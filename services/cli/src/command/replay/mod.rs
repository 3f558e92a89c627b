//! `agentmesh replay`.

mod bar;
mod digest;
mod rebuild;
mod shadows;
mod verify;

use std::path::Path;
use std::sync::Arc;

use services_replay::{ReadModel, Replay};

use crate::settings;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Build read models anew from the log, beside the live ones, and swap them in
    Rebuild(rebuild::Args),
    /// Print a digest of what read models hold and compare it with another deployment's
    Digest(digest::Args),
    /// Prove again, from the log alone, that stored deliveries are what their senders signed
    ///
    /// Ends with 1 when one of them cannot be proven.
    VerifyDeliveries {
        #[command(flatten)]
        which: verify::Deliveries,
    },
    /// List what is kept beside read models, and what interrupted rebuilds left
    Shadows(shadows::ListArgs),
    /// Drop what is kept beside a read model
    Drop(shadows::DropArgs),
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
    let replay = || Replay::new(Arc::new(settings.clone()));
    match action {
        Action::Rebuild(args) => rebuild::run(&replay().await?, args).await,
        Action::Digest(args) => digest::run(&replay().await?, args).await,
        Action::VerifyDeliveries { which } => verify::run(&settings, which).await,
        Action::Shadows(args) => shadows::list(&replay().await?, &args).await,
        Action::Drop(args) => shadows::drop(&replay().await?, &args).await,
    }
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
