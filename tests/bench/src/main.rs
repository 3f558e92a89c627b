//! `make bench`: how fast the mesh is, as ratios of two things measured in the
//! same run. What the rows mean stands in docs/BENCHMARKS.md.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table goes to the terminal"
)]

mod bare;
mod bed;
mod bench;
mod child;
mod fixtures;
mod harness;
mod load;
mod pipeline;
mod rows;
mod sender;
mod wrk;

pub(crate) use bench::Bench;

use clap::{Parser, Subcommand};

/// Measures the rows of docs/BENCHMARKS.md.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: bench::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A part of the mesh in a process of its own; started by the benchmarks.
    #[command(subcommand, hide = true)]
    Child(child::Task),
}

/// That of the binary whose parts are measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments.command {
        None => runtime.block_on(bench::run(&arguments.options)),
        Some(Command::Child(task)) => runtime.block_on(child::run(task)),
    }
}
