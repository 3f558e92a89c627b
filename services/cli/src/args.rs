//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::command::{certs, dead_letters, demo, keys, replay, trace};
use crate::role::Role;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it went wrong
  2  the command line is not understood
  3  a setting is wrong; the message names it
  4  something the command stands on is missing or cannot be reached
  5  what was asked for does not exist
  6  what was compared is not the same";

/// Webhooks in, agents asked, systems of record written: every step on a log.
#[derive(Debug, Parser)]
#[command(name = "agentmesh", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Settings file (default: agentmesh.toml in this directory, if there is one)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the servers and all roles on this machine; Ctrl-C drains and stops
    Dev {
        /// Leave it running in the background once it is ready
        #[arg(long)]
        detach: bool,
        /// HTTPS for the gateway and mutual TLS between the roles, with
        /// certificates of a development authority
        #[arg(long)]
        tls: bool,
    },
    /// Stop what `dev --detach` started; the data stays
    Down,
    /// Run roles in this process until SIGTERM or Ctrl-C
    Serve {
        /// A role to run; may be repeated (default: all of them)
        #[arg(long = "role", value_enum, value_name = "ROLE")]
        roles: Vec<Role>,
    },
    /// The local Kafka, schema registry, Postgres and Redis alone
    Stack {
        #[command(subcommand)]
        action: StackAction,
    },
    /// The topics on the log
    Topics {
        #[command(subcommand)]
        action: TopicsAction,
    },
    /// The schemas of the events
    Schemas {
        #[command(subcommand)]
        action: SchemasAction,
    },
    /// Bring the Postgres schemas of all roles up to date
    Migrate,
    /// Send one signed support ticket through the mesh and show its fourteen steps
    Demo(demo::Args),
    /// Show what followed from one webhook, as a tree of causes
    Trace(trace::Args),
    /// Rebuild read models from the log and compare what they hold
    Replay {
        #[command(subcommand)]
        action: replay::Action,
    },
    /// Records that a consumer gave up: look at them, hand them back, or let them go
    DeadLetters {
        #[command(subcommand)]
        action: dead_letters::Action,
    },
    /// The API keys of a tenant
    Keys {
        #[command(subcommand)]
        action: keys::Action,
    },
    /// The authority of a development mesh and its certificates
    Certs {
        #[command(subcommand)]
        action: certs::Action,
    },
    /// Print a completion script, to be sourced by the shell
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StackAction {
    /// Start the servers and leave them running
    Up {
        /// Where their data lives (default: stack in the data directory)
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Stop the servers
    Down {
        /// Where their data lives (default: stack in the data directory)
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Tell which servers run, and where
    Status {
        /// Where their data lives (default: stack in the data directory)
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsAction {
    /// Create the topics that are missing
    Apply,
    /// Print the topics there are, with their partitions
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemasAction {
    /// Register the schemas that are missing; only compatible ones are taken
    Register,
    /// Tell whether the registry would take the schemas, and change nothing
    Check,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn roles_may_be_repeated() {
        let args = Args::try_parse_from([
            "agentmesh",
            "serve",
            "--role",
            "gateway",
            "--role",
            "agent-servers",
        ]);
        let Command::Serve { roles } = args.unwrap().command else {
            panic!("serve was asked for");
        };
        assert_eq!(roles, [Role::Gateway, Role::AgentServers]);
    }

    #[test]
    fn an_unknown_role_is_a_usage_error() {
        let error = Args::try_parse_from(["agentmesh", "serve", "--role", "gate"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
