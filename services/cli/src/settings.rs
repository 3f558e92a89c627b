//! Settings of a command.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use platform_config::Settings;
use platform_localstack::{Stack, StackOptions, default_libs_dir};

use crate::running::Running;

/// What the defaults, the file and the environment say.
pub(crate) fn load(config: Option<&Path>) -> anyhow::Result<Settings> {
    Settings::load(config).context("settings")
}

/// The same, but what they leave at its default is where `agentmesh dev` runs
/// it on this machine, if it does: its servers and roles may have had to move
/// to free ports.
pub(crate) async fn load_as_running(config: Option<&Path>) -> anyhow::Result<Settings> {
    let mut settings = load(config)?;
    let defaults = Settings::defaults().context("settings")?;
    if let Some(stack) = Stack::attach(&stack_dir(&settings)).await? {
        let mut moved = settings.clone();
        stack.endpoints().apply(&mut moved);
        adopt(
            &mut settings.kafka.brokers,
            &defaults.kafka.brokers,
            moved.kafka.brokers,
        );
        adopt(
            &mut settings.schema_registry.url,
            &defaults.schema_registry.url,
            moved.schema_registry.url,
        );
        adopt(
            &mut settings.postgres.url,
            &defaults.postgres.url,
            moved.postgres.url,
        );
        adopt(
            &mut settings.redis.url,
            &defaults.redis.url,
            moved.redis.url,
        );
    }
    if let Some(running) = Running::find(&settings.data_dir)? {
        running.apply(&mut settings, &defaults);
    }
    Ok(settings)
}

fn adopt<T: PartialEq>(setting: &mut T, default: &T, moved: T) {
    if setting == default {
        *setting = moved;
    }
}

pub(crate) fn stack_dir(settings: &Settings) -> PathBuf {
    settings.data_dir.join("stack")
}

pub(crate) fn stack_options(
    settings: &Settings,
    dir: Option<PathBuf>,
) -> anyhow::Result<StackOptions> {
    let dir = dir.unwrap_or_else(|| stack_dir(settings));
    let here = std::env::current_dir()?;
    Ok(StackOptions::new(dir, default_libs_dir(&here)))
}

/// Logs of a command that ends by itself: warnings only, unless somebody asked
/// for more.
pub(crate) fn quiet_telemetry(settings: &Settings) -> anyhow::Result<platform_telemetry::Guard> {
    let mut telemetry = settings.telemetry.clone();
    if telemetry.log_filter == Settings::defaults()?.telemetry.log_filter {
        telemetry.log_filter = "warn".to_owned();
    }
    Ok(platform_telemetry::init(&telemetry, "cli")?)
}
