use std::path::{Path, PathBuf};

use anyhow::Context;
use platform_localstack::{
    Durability, Endpoints, Given, Ports, Stack, StackOptions, default_libs_dir,
};

/// The root of this checkout.
pub fn workspace_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Not below `CARGO_TARGET_DIR`: builds that differ in it still share servers.
fn stack_dir() -> PathBuf {
    workspace_dir().join("target/test-stack")
}

/// The servers all tests share: those the environment names, else own ones,
/// which are started if they do not run yet.
///
/// # Errors
/// When they cannot be started.
pub async fn shared_endpoints() -> anyhow::Result<Endpoints> {
    let given = Given::from_env();
    if let Some(endpoints) = given.complete() {
        return Ok(endpoints);
    }
    let options = StackOptions {
        // The usual ports are left to `agentmesh dev`.
        ports: Ports::Free,
        keep: false,
        // Tests kill processes, not the machine; what the kernel has taken
        // survives that, and waiting for the disk costs most of a test's time.
        durability: Durability::ProcessCrash,
        given,
        ..StackOptions::new(stack_dir(), default_libs_dir(&workspace_dir()))
    };
    let stack = Stack::ensure(options)
        .await
        .context("the servers for tests cannot be started")?;
    Ok(stack.detach())
}

/// Stops the shared servers, if they run, and removes their data.
///
/// # Errors
/// When they cannot be stopped.
pub async fn stop_shared_stack() -> anyhow::Result<()> {
    if let Some(stack) = Stack::attach(&stack_dir()).await? {
        stack.stop().await?;
    }
    Ok(())
}
