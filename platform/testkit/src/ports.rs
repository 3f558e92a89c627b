use std::fs::OpenOptions;
use std::io::{Read, Seek, Write};

use anyhow::Context;

use crate::workspace_dir;

/// Below the range from which the kernel takes ports for outgoing connections,
/// so that a port handed out is not taken before it is bound.
const FIRST: u16 = 15_000;
const LAST: u16 = 31_999;

/// A port nobody listens on and no other test has been given lately, whichever
/// process it runs in.
///
/// # Errors
/// When the counter file cannot be used or all ports are taken.
pub fn free_port() -> anyhow::Result<u16> {
    let dir = workspace_dir().join("target");
    std::fs::create_dir_all(&dir)?;
    let path = dir.join("test-ports");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.lock()?;
    let mut last = String::new();
    file.read_to_string(&mut last)?;
    let mut port: u16 = last.trim().parse().unwrap_or(FIRST);
    for _ in FIRST..=LAST {
        port = if port >= LAST { FIRST } else { port + 1 };
        if platform_localstack::is_free(port) {
            file.rewind()?;
            file.set_len(0)?;
            write!(file, "{port}")?;
            return Ok(port);
        }
    }
    anyhow::bail!("no port from {FIRST} to {LAST} is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ() {
        let first = free_port().unwrap();
        let second = free_port().unwrap();
        assert_ne!(first, second);
    }
}
