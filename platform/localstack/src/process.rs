//! Child processes that may outlive their parent, and be found again.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde::{Deserialize, Serialize};

use crate::Error;

pub use rustix::process::Signal;

/// What tells one process from every other that ever ran on this machine:
/// numbers are used again, start times since boot and boots are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    /// Clock ticks from boot to the start of the process.
    started: u64,
    boot: String,
}

impl Identity {
    /// Of a process that runs now.
    pub fn of(pid: i32) -> Option<Self> {
        let (state, started) = stat(pid)?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        (state != 'Z').then(|| Self {
            pid,
            started,
            boot: boot.trim().to_owned(),
        })
    }

    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal, unless the process is gone.
    ///
    /// # Errors
    /// When this user may not.
    pub fn signal(&self, signal: Signal) -> std::io::Result<()> {
        match Pid::from_raw(self.pid) {
            Some(pid) if self.is_alive() => match kill_process(pid, signal) {
                Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
                Err(error) => Err(error.into()),
            },
            _ => Ok(()),
        }
    }

    /// Asks the process to end with `signal`, and kills it when it has not by
    /// `patience`.
    ///
    /// # Errors
    /// When this user may not, or not even SIGKILL helps.
    pub async fn stop(&self, signal: Signal, patience: Duration) -> std::io::Result<()> {
        self.signal(signal)?;
        if self.ended_within(patience).await {
            return Ok(());
        }
        tracing::warn!(process.pid = self.pid, "process does not end, killing it");
        self.signal(Signal::KILL)?;
        if self.ended_within(Duration::from_secs(10)).await {
            return Ok(());
        }
        Err(std::io::Error::other("it outlived SIGKILL"))
    }

    async fn ended_within(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

/// The state letter and the start time of a process, from `/proc`.
fn stat(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold parentheses and blanks.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    // State is field 3 of proc(5), the start time is field 22.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

/// Starts `command` in a process group of its own, so that a Ctrl-C meant for
/// us does not end it, with its output appended to `log`.
pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<(Child, Identity), Error> {
    let program = command.get_program().into();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Error::file("write", log))?;
    let errors = file.try_clone().map_err(Error::file("write", log))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(|source| Error::Spawn { program, source })?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    match Identity::of(pid) {
        Some(identity) => Ok((child, identity)),
        None => Err(Error::Command {
            what: "starting a server",
            status: describe_exit(&mut child),
            tail: tail(log),
        }),
    }
}

/// How a child ended, for messages.
pub(crate) fn describe_exit(child: &mut Child) -> String {
    match child.try_wait() {
        Ok(Some(status)) => status.to_string(),
        Ok(None) => "still running".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    const BYTES: i64 = 4096;
    const LINES: usize = 25;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(log)?;
        if file.metadata()?.len() > BYTES.unsigned_abs() {
            file.seek(SeekFrom::End(-BYTES))?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let Ok(bytes) = read() else {
        return "(no log)".to_owned();
    };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_recognised_until_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new("sleep");
        command.arg("600");
        let (mut child, identity) = spawn(command, &log).unwrap();
        assert!(identity.is_alive());

        let mut earlier = identity.clone();
        earlier.started -= 1;
        assert!(!earlier.is_alive(), "another process had this number");
        earlier.signal(Signal::KILL).unwrap();
        assert!(identity.is_alive(), "a stale identity kills nobody");

        identity
            .stop(Signal::TERM, Duration::from_secs(5))
            .await
            .unwrap();
        assert!(!identity.is_alive());
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_process_that_will_not_end_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"]);
        let (mut child, identity) = spawn(command, &log).unwrap();
        while tail(&log).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        identity
            .stop(Signal::TERM, Duration::from_millis(100))
            .await
            .unwrap();
        assert!(!identity.is_alive());
        child.wait().unwrap();
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let lines: Vec<String> = (0..5000).map(|n| format!("line {n}")).collect();
        std::fs::write(&log, lines.join("\n")).unwrap();
        let tail = tail(&log);
        assert_eq!(tail.lines().count(), 25);
        assert!(tail.ends_with("line 4999"));
    }
}
