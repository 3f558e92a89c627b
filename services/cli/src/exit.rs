//! Exit codes. `agentmesh --help` lists them.

use std::process::ExitCode;

/// What the command stands on is not there: a server, a program, a stack.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// What was asked for does not exist.
#[derive(Debug)]
pub(crate) struct NotFound(pub(crate) String);

/// What was compared is not the same, or could not be shown to be.
#[derive(Debug)]
pub(crate) struct Differs(pub(crate) String);

impl std::fmt::Display for Differs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Differs {}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}
impl std::error::Error for NotFound {}

/// Lets a reader of our output that closes early, such as `head`, end the
/// command quietly. Rust ignores SIGPIPE, so that printing panics instead.
pub(crate) fn quietly_on_closed_output() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload_as_str().unwrap_or_default();
        if message.starts_with("failed printing to stdout") && message.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
}

pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(number(error))
}

fn number(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<platform_config::Error>() {
            return 3;
        }
        if cause.is::<Missing>() || is_missing(cause) || is_unreachable(cause) {
            return 4;
        }
        if cause.is::<NotFound>() || is_unknown(cause) {
            return 5;
        }
        if cause.is::<Differs>() {
            return 6;
        }
    }
    1
}

fn is_missing(cause: &(dyn std::error::Error + 'static)) -> bool {
    use platform_localstack::Error as Stack;
    cause
        .downcast_ref()
        .is_some_and(|error| matches!(error, Stack::NotInstalled { .. }))
}

/// A shadow that is not kept.
fn is_unknown(cause: &(dyn std::error::Error + 'static)) -> bool {
    use services_replay::Error as Replay;
    cause
        .downcast_ref()
        .is_some_and(|error| matches!(error, Replay::UnknownShadow { .. }))
}

/// Nobody listens where a server is said to be.
fn is_unreachable(cause: &(dyn std::error::Error + 'static)) -> bool {
    if cause
        .downcast_ref::<platform_log::Error>()
        .is_some_and(|error| {
            error.is_transient() || matches!(error, platform_log::Error::UnknownTopic { .. })
        })
    {
        return true;
    }
    cause
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Whether all that went wrong is that the reader of our output is gone.
pub(crate) fn is_closed_output(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// The error and its causes on one line, a cause that repeats what was said
/// before left out.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if said.contains(&text) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(&text);
    }
    said
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn codes_tell_what_kind_of_error_it_was() {
        let setting = platform_config::Error::Invalid {
            key: "kafka.partitions",
            reason: "must be at least 1".to_owned(),
        };
        let setting = Err::<(), _>(setting).context("loading settings");
        assert_eq!(number(&setting.unwrap_err()), 3);

        let missing = Missing("Kafka does not answer".to_owned());
        assert_eq!(number(&anyhow::Error::new(missing)), 4);

        let not_installed = platform_localstack::Error::NotInstalled {
            what: "Kafka".to_owned(),
        };
        assert_eq!(number(&not_installed.into()), 4);

        assert_eq!(number(&NotFound("no such trace".to_owned()).into()), 5);
        assert_eq!(number(&Differs("not the same".to_owned()).into()), 6);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let refused = Err::<(), _>(refused).context("the gateway cannot be reached");
        assert_eq!(number(&refused.unwrap_err()), 4);
        assert_eq!(number(&anyhow::anyhow!("broken")), 1);
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::anyhow!("refused").context("cannot connect: refused");
        assert_eq!(describe(&error), "cannot connect: refused");
        let error = anyhow::anyhow!("refused").context("cannot connect");
        assert_eq!(describe(&error), "cannot connect: refused");
    }
}
