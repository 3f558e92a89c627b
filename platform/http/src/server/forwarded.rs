//! Who is asking, where a proxy stands in between.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address a request comes from, in its extensions: that of the connection,
/// or the one a trusted proxy saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

pub(super) fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// Goes back from the connection through `X-Forwarded-For`, to the right of
/// which each proxy writes whom it saw, as long as who wrote it is trusted. What
/// lies further left was written by somebody nobody knows.
pub(super) fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    // A line that is not text is one hop, and no address.
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        if !is_trusted(client, trusted) {
            break;
        }
        let Some(address) = address(hop.trim()) else {
            break;
        };
        client = address;
    }
    client
}

/// An address as proxies write it: bare, with a port, or IPv6 in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let parsed = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    Some(parsed.or_else(with_port)?.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// With a header a line.
    fn client(peer: &str, lines: &[u8]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines.split(|byte| *byte == b'\n') {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_who_asks() {
        for (peer, lines, expected) in [
            ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
            ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
            ("10.0.0.1", "203.0.113.7\n10.0.0.2,10.0.0.3", "203.0.113.7"),
            ("::ffff:10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
            ("fd00::1", "2001:db8::7", "2001:db8::7"),
            ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
            ("fd00::1", "[2001:db8::7]:443", "2001:db8::7"),
            ("fd00::1", "::ffff:203.0.113.7", "203.0.113.7"),
            // From inside, through proxies only.
            ("10.0.0.1", "10.0.0.9, 10.0.0.2", "10.0.0.9"),
        ] {
            assert_eq!(client(peer, lines.as_bytes()), expected, "{lines}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_is_not_believed() {
        for (peer, lines, expected) in [
            // Nobody who is trusted forwarded it.
            ("203.0.113.7", "10.0.0.9", "203.0.113.7"),
            ("203.0.113.7", "198.51.100.1, 10.0.0.2", "203.0.113.7"),
            // The sender wrote the first part itself.
            ("10.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"),
            ("10.0.0.1", "198.51.100.1\n203.0.113.7", "203.0.113.7"),
            ("10.0.0.1", "10.0.0.9, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ] {
            assert_eq!(client(peer, lines.as_bytes()), expected, "{lines}");
        }
    }

    #[test]
    fn what_is_no_address_ends_with_who_wrote_it() {
        let bad: [&[u8]; 9] = [
            b"",
            b"unknown",
            b"203.0.113.7,",
            b"203.0.113.7 10.0.0.2",
            b"203.0.113.7:x",
            b"[203.0.113.7",
            b"0x0a.1.1.1",
            b"\xff\xfe",
            b"203.0.113.7, \xff",
        ];
        for lines in bad {
            assert_eq!(client("10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        let hidden = b"203.0.113.7\n_hidden, 10.0.0.2";
        assert_eq!(client("10.0.0.1", hidden), "10.0.0.2");
        let peer = "10.0.0.1".parse().unwrap();
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(client_address(peer, &HeaderMap::new(), &trusted), peer);
    }
}
