//! Single SQL statements through `psql`, for what has to happen before there
//! is a pool: to see whether Postgres answers, and to create databases.

use std::process::{Command, Stdio};

use crate::{Error, install};

/// Runs `statement` and returns what it prints, one row a line. Blocks.
///
/// # Errors
/// When `psql` is missing, the server cannot be reached or refuses.
pub fn execute(database_url: &str, statement: &str) -> Result<String, Error> {
    let program = install::postgres_program("psql")?;
    let output = Command::new(&program)
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
        .args(["--set", "ON_ERROR_STOP=1", "--command", statement])
        .arg(database_url)
        .env("PGCONNECT_TIMEOUT", "5")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Spawn { program, source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(Error::Command {
            what: "an SQL statement",
            status: output.status.to_string(),
            tail: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
