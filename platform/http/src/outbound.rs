//! Where requests may go whose address somebody else has chosen: an agent's
//! endpoint, a connector's base. Without this, whoever may register one could
//! have the mesh fetch what only machines inside may see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The networks that may be called although they are not public.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    allowed: Arc<[IpNet]>,
}

/// Why an address may not be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    #[error("{address} is not a public address, nor one that outbound.allow names")]
    NotPublic { address: IpAddr },
    #[error("it has no host")]
    NoHost,
}

impl Outbound {
    /// Public addresses, and those in the networks of `outbound.allow`.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    pub fn permits(&self, address: IpAddr) -> bool {
        let address = unmapped(address);
        is_public(address)
            || self
                .allowed
                .iter()
                .any(|network| network.contains(&address))
    }

    /// Whether an address that was written down may be called. A name is looked
    /// up when it is connected to, and judged then ([`Resolve`]), because it may
    /// mean something else by that time.
    ///
    /// # Errors
    /// When the host is an address, however it is written, that may not be.
    pub fn check(&self, url: &Url) -> Result<(), NotPermitted> {
        // The parser has turned decimal, octal and hexadecimal forms into addresses.
        let host = url.host_str().ok_or(NotPermitted::NoHost)?;
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        match literal.parse::<IpAddr>() {
            Ok(address) if !self.permits(address) => Err(NotPermitted::NotPublic { address }),
            _ => Ok(()),
        }
    }

    /// The same for what a name means at this moment.
    ///
    /// # Errors
    /// When one of its addresses may not be called. A name that means nothing
    /// now is no error: it cannot be called either.
    pub async fn check_resolved(&self, url: &Url) -> Result<(), NotPermitted> {
        self.check(url)?;
        let host = url.host_str().ok_or(NotPermitted::NoHost)?;
        let Ok(addresses) = tokio::net::lookup_host((host.trim_matches(['[', ']']), 0)).await
        else {
            return Ok(());
        };
        for address in addresses {
            if !self.permits(address.ip()) {
                return Err(NotPermitted::NotPublic {
                    address: address.ip(),
                });
            }
        }
        Ok(())
    }
}

/// Looks names up and keeps only addresses that may be called. What is connected
/// to is what was judged: the client does not look the name up again.
impl Resolve for Outbound {
    fn resolve(&self, name: Name) -> Resolving {
        let outbound = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let refused = found.first().map(SocketAddr::ip);
            let permitted: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| outbound.permits(address.ip()))
                .collect();
            match (permitted.is_empty(), refused) {
                (true, Some(address)) => Err(NotPermitted::NotPublic { address }.into()),
                _ => Ok(Box::new(permitted.into_iter()) as Addrs),
            }
        })
    }
}

/// The IPv4 address in an IPv6 one that stands for it: mapped, compatible,
/// translated (64:ff9b::/96) or by 6to4 (2002::/16).
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, c, d, e, f, high, low] = v6.segments();
    let inner = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => inner(high, low),
        (0, 0, 0, 0, 0, 0) if high != 0 => inner(high, low),
        (0x2002, ..) => inner(b, c),
        _ => address,
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By IANA's registry of special purpose addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        // Shared by carriers; some clouds keep metadata here.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// What is routed publicly is 2000::/3, but for what is special in it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global_unicast = a & 0xe000 == 0x2000;
    let special = matches!((a, b), (0x2001, 0..0x0200 | 0x0db8) | (0x3fff, _));
    global_unicast && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowing(networks: &[&str]) -> Outbound {
        let networks = networks.iter().map(|text| text.parse().unwrap());
        Outbound::new(networks.collect())
    }

    fn refused(outbound: &Outbound, url: &str) -> bool {
        outbound.check(&Url::parse(url).unwrap()).is_err()
    }

    #[test]
    fn what_is_not_public_is_refused_however_it_is_written() {
        let outbound = Outbound::default();
        for url in [
            "http://169.254.169.254/latest/meta-data",
            "http://127.0.0.1:3001/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://0.0.0.0/",
            "http://10.1.2.3/",
            "http://172.31.0.1/",
            "http://192.168.0.1/",
            "http://100.100.100.200/",
            "http://198.18.0.1/",
            "http://255.255.255.255/",
            "http://224.0.0.1/",
            "http://[::]/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://[2001:db8::1]/",
        ] {
            assert!(refused(&outbound, url), "{url}");
        }
        for url in [
            "https://1.1.1.1/",
            "https://[2606:4700::1111]/",
            "https://example.com/",
        ] {
            assert!(!refused(&outbound, url), "{url}");
        }
    }

    #[test]
    fn networks_that_are_named_may_be_called_and_no_others() {
        let outbound = allowing(&["127.0.0.0/8", "fd00::/8"]);
        assert!(!refused(&outbound, "http://127.0.0.1/"));
        assert!(!refused(&outbound, "http://[::ffff:127.0.0.1]/"));
        assert!(!refused(&outbound, "http://[fd12::1]/"));
        assert!(refused(&outbound, "http://10.0.0.1/"));
        assert!(refused(&outbound, "http://[::1]/"));
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_means_when_it_is_connected_to() {
        let outbound = Outbound::default();
        let name = Url::parse("http://localhost:1/").unwrap();
        assert_eq!(outbound.check(&name), Ok(()));
        assert!(outbound.check_resolved(&name).await.is_err());
        assert!(
            outbound
                .resolve("localhost".parse().unwrap())
                .await
                .is_err()
        );
        let open = allowing(&["127.0.0.0/8", "::1/128"]);
        let found = open.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.count() > 0);
    }
}
