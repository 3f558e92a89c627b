use std::io::{Write, stdout};

use domain_kernel::Timestamp;
use platform_config::Settings;
use services_replay::{Failure, verify_deliveries};

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

pub(super) async fn run(settings: &Settings, deliveries: Deliveries) -> anyhow::Result<()> {
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
        writeln!(out, "{found}")?;
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
