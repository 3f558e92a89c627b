use std::fs;

/// The resident memory of a process, as Linux counts it.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pid: u32,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        Self { pid }
    }

    /// Lets the peak begin anew, and returns what is resident now, in bytes.
    pub fn begin(self) -> u64 {
        // 5 resets the peak; where that is not allowed, the peak is an upper bound.
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
        self.field("VmRSS:")
    }

    /// The most that was resident since, in bytes.
    pub fn peak(self) -> u64 {
        self.field("VmHWM:")
    }

    fn field(self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok())
            .map_or(0, |kib| kib * 1_024)
    }
}
