//! Finding ports that nobody listens on.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// A port of the loopback interface that was free a moment ago.
///
/// # Errors
/// When the system has none to give.
pub fn free_port() -> Result<u16, Error> {
    FreePorts::default().any()
}

/// Hands out ports, never the same one twice.
#[derive(Debug, Default)]
pub struct FreePorts {
    taken: HashSet<u16>,
}

impl FreePorts {
    /// Any free port.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn any(&mut self) -> Result<u16, Error> {
        loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .and_then(|listener| listener.local_addr())
                .map_err(|source| Error::NoFreePort { source })?
                .port();
            if self.taken.insert(port) {
                return Ok(port);
            }
        }
    }

    /// `wanted` if it is free, else any.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn preferably(&mut self, wanted: u16) -> Result<u16, Error> {
        if is_free(wanted) && self.taken.insert(wanted) {
            Ok(wanted)
        } else {
            self.any()
        }
    }

    pub(crate) fn exactly(&mut self, server: &'static str, wanted: u16) -> Result<u16, Error> {
        if wanted == 0 {
            return self.any();
        }
        if is_free(wanted) && self.taken.insert(wanted) {
            Ok(wanted)
        } else {
            Err(Error::PortTaken {
                server,
                port: wanted,
            })
        }
    }
}

/// Whether nobody listens on this port, on loopback or on all interfaces.
pub fn is_free(port: u16) -> bool {
    // A server on all interfaces holds the port of each of them.
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
        && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports = FreePorts::default();
        let first = ports.any().unwrap();
        assert_ne!(ports.preferably(first).unwrap(), first);
        assert!(matches!(
            ports.exactly("kafka", first),
            Err(Error::PortTaken { .. })
        ));
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        assert_ne!(FreePorts::default().preferably(port).unwrap(), port);
    }
}
