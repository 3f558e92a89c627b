use std::path::PathBuf;
use std::time::Duration;

/// Why a stack could not be started, found or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} is missing; run deploy/local/install.sh")]
    NotInstalled { what: String },
    #[error("port {port}, wanted for {server}, is taken")]
    PortTaken { server: &'static str, port: u16 },
    #[error("this stack has no server {server} of its own")]
    UnknownServer { server: String },
    #[error("no free port could be found")]
    NoFreePort {
        #[source]
        source: std::io::Error,
    },
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not the state of a stack", path.display())]
    State {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{program} could not be started")]
    Spawn {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{what} failed ({status}); the end of its output:\n{tail}")]
    Command {
        what: &'static str,
        status: String,
        tail: String,
    },
    #[error("{server} ended while starting ({status}); the end of {}:\n{tail}", log.display())]
    Died {
        server: &'static str,
        status: String,
        log: PathBuf,
        tail: String,
    },
    #[error("{server} did not answer within {} s; the end of {}:\n{tail}", waited.as_secs(), log.display())]
    NotReady {
        server: &'static str,
        waited: Duration,
        log: PathBuf,
        tail: String,
    },
    #[error("a stack is running in {} already", data_dir.display())]
    AlreadyRunning { data_dir: PathBuf },
    #[error("{server} (process {pid}) could not be stopped")]
    Stop {
        server: String,
        pid: i32,
        #[source]
        source: std::io::Error,
    },
    // The address is not repeated: it may hold a password.
    #[error("DATABASE_URL is not an address (postgres://…) the schema registry can use")]
    DatabaseUrl,
}

impl Error {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}
