//! `agentmesh`: runs the roles, prepares what they stand on, and shows what
//! they did.

// Standard output is what a command line is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod certificates;
mod command;
mod exit;
mod host;
mod role;
mod running;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

/// Much of what a role allocates is freed on another thread: requests and records
/// move between them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exit::quietly_on_closed_output();
    let args = args::Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(command::run(args)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if exit::is_closed_output(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agentmesh: {}", exit::describe(&error));
            exit::code(&error)
        }
    }
}
