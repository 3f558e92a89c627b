//! `chaos`: breaks things under load and tells what came of it.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use tests_chaos::{Options, run};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let report = tokio::select! {
        report = run(&options) => report?,
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
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
