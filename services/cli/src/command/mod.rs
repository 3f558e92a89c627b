//! One file a command.

pub(crate) mod certs;
mod completions;
pub(crate) mod dead_letters;
pub(crate) mod demo;
mod dev;
mod down;
pub(crate) mod keys;
mod migrate;
pub(crate) mod replay;
mod schemas;
mod serve;
mod stack;
mod topics;
pub(crate) mod trace;

use crate::args::{Args, Command};

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.config.as_deref();
    match args.command {
        Command::Dev { detach: false, tls } => dev::run(config, tls).await,
        Command::Dev { detach: true, tls } => dev::detach(config, tls).await,
        Command::Down => down::run(config).await,
        Command::Serve { roles } => serve::run(config, &roles).await,
        Command::Stack { action } => stack::run(config, action).await,
        Command::Topics { action } => topics::run(config, action).await,
        Command::Schemas { action } => schemas::run(config, action).await,
        Command::Migrate => migrate::run(config).await,
        Command::Demo(args) => demo::run(config, args).await,
        Command::Trace(args) => trace::run(config, args).await,
        Command::Replay { action } => replay::run(config, action).await,
        Command::DeadLetters { action } => dead_letters::run(config, action).await,
        Command::Keys { action } => keys::run(config, action).await,
        Command::Certs { action } => certs::run(config, action).await,
        Command::Completions { shell } => completions::run(shell),
    }
}
