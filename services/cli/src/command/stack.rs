//! `agentmesh stack`: the servers alone.

use std::path::Path;

use platform_localstack::Stack;

use crate::args::StackAction;
use crate::exit::Missing;
use crate::settings;

pub(crate) async fn run(config: Option<&Path>, action: StackAction) -> anyhow::Result<()> {
    let settings = settings::load(config)?;
    let _guard = settings::quiet_telemetry(&settings)?;
    match action {
        StackAction::Up { dir } => {
            let stack = Stack::ensure(settings::stack_options(&settings, dir)?).await?;
            print(&stack);
            stack.detach();
        }
        StackAction::Down { dir } => {
            let dir = dir.unwrap_or_else(|| settings::stack_dir(&settings));
            match Stack::attach(&dir).await? {
                Some(stack) => {
                    stack.stop().await?;
                    println!("stopped the servers of {}", dir.display());
                }
                None => println!("no servers run in {}", dir.display()),
            }
        }
        StackAction::Status { dir } => {
            let dir = dir.unwrap_or_else(|| settings::stack_dir(&settings));
            match Stack::attach(&dir).await? {
                Some(stack) => print(&stack),
                None => {
                    let problem = format!("no servers run in {}", dir.display());
                    return Err(Missing(problem).into());
                }
            }
        }
    }
    Ok(())
}

/// The servers as lines, and the environment that points a shell at them.
fn print(stack: &Stack) {
    for server in stack.status() {
        println!(
            "{:<16} port {:<6} pid {:<8} {}",
            server.name,
            server.port,
            server.pid,
            server.log.display()
        );
    }
    for (name, value) in stack.endpoints().to_env() {
        println!("export {name}={value}");
    }
}
