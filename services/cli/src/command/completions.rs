//! `agentmesh completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;

pub(crate) fn run(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "agentmesh", &mut script);
    // A reader that closes early, such as head, is no failure.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), &script);
    Ok(())
}
