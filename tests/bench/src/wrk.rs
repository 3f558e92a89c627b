//! `wrk`, the yardstick of HTTP load, with requests of ours.
//!
//! By itself it sends the same request again and again. `wrk.lua` beside this
//! crate hands it ready-made ones out of a file, each of them once.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use serde::Deserialize;
use tokio::process::Command;

use crate::bed::workspace;
use crate::load::Answers;

/// It ends long before, when all is answered.
const AT_MOST: &str = "300s";
/// Answers that take longer are errors to it.
const TIMEOUT: &str = "30s";

/// What `wrk.lua` counted.
#[derive(Debug, Deserialize)]
struct Counted {
    /// All that were answered, by the count of wrk itself.
    requests: usize,
    /// Answered with 202.
    accepted: usize,
    others: usize,
    /// Errors of connections, and answers that came too late.
    broken: usize,
    /// Whether every connection had its last answer.
    drained: bool,
    /// From the first request to the last answer.
    seconds: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// What was answered, but for the single latencies, which it keeps to itself.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) answers: Answers,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Whether it is on the path.
pub(crate) fn is_here() -> bool {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&on_path).any(|place| place.join("wrk").is_file())
}

/// Sends each request once, as [`crate::load::closed`] does, and waits until each is
/// answered: nothing is left in flight. `dir` is where the requests are left for it.
pub(crate) async fn closed(
    address: SocketAddr,
    requests: &[Bytes],
    connections: usize,
    dir: &Path,
) -> anyhow::Result<Sent> {
    let file = dir.join("wrk.requests");
    std::fs::write(&file, one_after_another(requests)?)?;
    let connections = connections.to_string();
    let output = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections])
        .args(["--duration", AT_MOST, "--timeout", TIMEOUT, "--script"])
        .arg(workspace().join("tests/bench/wrk.lua"))
        .args([&format!("http://{address}"), "--"])
        .arg(&file)
        .arg(&connections)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("wrk cannot be started (Debian: wrk)")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "wrk: {complaint}");
    sent(&String::from_utf8_lossy(&output.stdout))
}

/// As the script reads them.
fn one_after_another(requests: &[Bytes]) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for request in requests {
        writeln!(all, "{}", request.len())?;
        all.extend_from_slice(request);
    }
    Ok(all)
}

fn sent(said: &str) -> anyhow::Result<Sent> {
    let line = said.lines().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("wrk said {said}"))?;
    let counted: Counted = serde_json::from_str(line).with_context(|| format!("wrk: {line}"))?;
    ensure!(
        counted.drained && counted.broken == 0,
        "wrk was not answered to the end: {line}"
    );
    ensure!(
        counted.accepted + counted.others == counted.requests,
        "wrk and its script counted differently: {line}"
    );
    Ok(Sent {
        answers: Answers {
            accepted: counted.accepted,
            others: counted.others,
            elapsed: Duration::try_from_secs_f64(counted.seconds)?,
            ..Answers::default()
        },
        p50_ms: counted.p50_ms,
        p99_ms: counted.p99_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_its_length_before_it() {
        let requests = [Bytes::from_static(b"a\nb"), Bytes::from_static(b"c")];
        assert_eq!(one_after_another(&requests).unwrap(), b"3\na\nb1\nc");
    }

    #[test]
    fn what_the_script_counted_is_found_among_what_wrk_says() {
        let said = |accepted: usize, broken: usize, drained: bool| {
            format!(
                "Requests/sec: 1\n{{\"requests\":3,\"accepted\":{accepted},\"others\":1,\"broken\":{broken},\"drained\":{drained},\"seconds\":0.5,\"p50_ms\":1.5,\"p99_ms\":2.0}}\n"
            )
        };
        let found = sent(&said(2, 0, true)).unwrap();
        assert_eq!((found.answers.accepted, found.answers.others), (2, 1));
        assert_eq!(found.answers.elapsed, Duration::from_millis(500));
        for wrong in [said(1, 0, true), said(2, 1, true), said(2, 0, false)] {
            assert!(sent(&wrong).is_err(), "{wrong}");
        }
        assert!(sent("nothing").is_err());
    }
}
