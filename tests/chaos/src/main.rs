//! `chaos`: breaks things under load and tells what came of it.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tests_chaos::{Options, run};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    match chaos(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // In one line, the last: the end of the output is what is kept of it.
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found wrong.
async fn chaos(options: &Options) -> anyhow::Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    let report = tokio::select! {
        report = run(options) => report?,
        // Dropped, everything that was started ends.
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    writeln!(
        std::io::stdout(),
        "{} faults in {:.0} s, {}",
        report.rows.len(),
        report.seconds,
        if report.is_clean() {
            "nothing lost, nothing twice"
        } else {
            "NOT WELL"
        },
    )?;
    Ok(report.is_clean())
}
