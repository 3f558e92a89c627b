use std::fs;

use anyhow::Context as _;

/// The resident memory of a process, as Linux counts it.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pid: u32,
}

/// By how much it grows from here on.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    memory: Memory,
    before: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Lets the peak begin anew.
    ///
    /// # Errors
    /// When what is resident cannot be read.
    pub fn begin(self) -> anyhow::Result<Growth> {
        // 5 resets the peak; where that is not allowed, the peak is an upper bound.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
        let before = self.bytes("VmRSS:")?;
        Ok(Growth {
            memory: self,
            before,
        })
    }

    /// A field of the process's status, which is never 0 while the process lives.
    fn bytes(self, field: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok())
            .filter(|kib| *kib > 0)
            .map(|kib| kib * 1_024)
            .with_context(|| format!("{path} does not say {field}"))
    }
}

impl Growth {
    /// The most that was resident since, beyond what was then, in bytes.
    ///
    /// # Errors
    /// When it cannot be read, because the process ended or is none of ours.
    pub fn peak(self) -> anyhow::Result<u64> {
        Ok(self.memory.bytes("VmHWM:")?.saturating_sub(self.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_seen_and_who_is_gone_is_an_error() {
        let growth = Memory::of(std::process::id()).begin().unwrap();
        let pages = std::hint::black_box(vec![1_u8; 32 << 20]);
        assert!(growth.peak().unwrap() >= 31 << 20);
        drop(pages);
        let nobody = Memory::of(u32::MAX);
        assert!(nobody.begin().is_err());
        let growth = Growth {
            memory: nobody,
            before: 0,
        };
        assert!(growth.peak().is_err());
    }
}
