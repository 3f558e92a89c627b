//! What listeners grant, and who is believed to be whom.

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::settings::{optional_path, optional_text};

/// What every listener grants to those who connect.
#[derive(Debug, Clone, Deserialize)]
pub struct Http {
    pub header_read_timeout_ms: u64,
    pub handshake_timeout_ms: u64,
    pub max_headers: usize,
    pub max_header_bytes: usize,
    pub max_connections: usize,
    /// 0 stands for no cap.
    pub max_connections_per_address: usize,
    pub max_requests_per_connection: u64,
    pub max_connection_age_s: u64,
    /// 0 stands for no minimum.
    pub min_body_bytes_per_s: u64,
    pub body_grace_ms: u64,
    pub write_timeout_ms: u64,
    pub http2_max_concurrent_streams: u32,
    pub http2_max_pending_resets: usize,
    pub drain_notice_ms: u64,
    pub drain_timeout_ms: u64,
    pub reuse_port: bool,
}

/// How much the gateway takes of whom. 0 a second stands for no limit; a burst
/// of 0 for what comes in a second.
#[derive(Debug, Clone, Deserialize)]
pub struct RateLimits {
    pub source_per_s: f64,
    pub source_burst: u32,
    pub tenant_per_s: f64,
    pub tenant_burst: u32,
    pub key_per_s: f64,
    pub key_burst: u32,
    pub address_per_s: f64,
    pub address_burst: u32,
    /// Rate and burst of sources that have their own.
    #[serde(deserialize_with = "source_rates")]
    pub sources: Vec<(String, f64, u32)>,
    /// Whether all gateways together keep a limit.
    pub shared: bool,
}

/// Calls between roles.
#[derive(Debug, Clone, Deserialize)]
pub struct Tls {
    pub reload_interval_ms: u64,
    #[serde(deserialize_with = "optional_path")]
    pub client_certificate: Option<PathBuf>,
    #[serde(deserialize_with = "optional_path")]
    pub client_key: Option<PathBuf>,
    #[serde(deserialize_with = "optional_path")]
    pub peer_authorities: Option<PathBuf>,
    pub peer_domain: String,
}

/// HTTPS of one listener; off without a certificate.
#[derive(Debug, Clone, Deserialize)]
pub struct ListenerTls {
    #[serde(deserialize_with = "optional_path")]
    pub certificate: Option<PathBuf>,
    #[serde(deserialize_with = "optional_path")]
    pub key: Option<PathBuf>,
    pub client_certificates: ClientCertificates,
    #[serde(deserialize_with = "optional_path")]
    pub client_authorities: Option<PathBuf>,
    /// Empty: whoever the authorities certify.
    #[serde(deserialize_with = "names")]
    pub client_names: Vec<String>,
    pub min_version: TlsVersion,
}

impl ListenerTls {
    pub const fn is_on(&self) -> bool {
        self.certificate.is_some()
    }
}

/// Whether who calls shows a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    None,
    Optional,
    Required,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = optional_text(deserializer)?.unwrap_or_default();
    Ok(text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Networks such as `10.0.0.0/8`, separated by commas.
pub(crate) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let read = |name: &String| {
        name.parse().map_err(|_| {
            serde::de::Error::custom(format!("`{name}` is not a network such as 10.0.0.0/8"))
        })
    };
    names(deserializer)?.iter().map(read).collect()
}

/// `source=rate/burst` or `source=rate`, separated by commas.
fn source_rates<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, f64, u32)>, D::Error> {
    names(deserializer)?
        .iter()
        .map(|item| {
            let read = || {
                let (source, limit) = item.split_once('=')?;
                let (rate, burst) = match limit.split_once('/') {
                    Some((rate, burst)) => (rate, burst.trim().parse().ok()?),
                    None => (limit, 0),
                };
                let rate: f64 = rate.trim().parse().ok()?;
                let possible = rate == 0.0 || (0.001..=1e6).contains(&rate);
                possible.then(|| (source.trim().to_owned(), rate, burst))
            };
            read().ok_or_else(|| {
                serde::de::Error::custom(format!("`{item}` is not `source=rate/burst`"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::Settings;

    fn sources(text: &str) -> Result<Vec<(String, f64, u32)>, crate::Error> {
        let file = format!("[gateway.rate_limits]\nsources = \"{text}\"\n");
        let settings = Settings::from_layers(Some((Path::new("t"), &file)), [])?;
        Ok(settings.gateway.rate_limits.sources)
    }

    #[test]
    fn sources_have_rates_of_their_own() {
        assert_eq!(sources("").unwrap(), []);
        assert_eq!(
            sources("zapier=50/200, github = 0.5").unwrap(),
            [
                ("zapier".to_owned(), 50.0, 200),
                ("github".to_owned(), 0.5, 0)
            ]
        );
        for bad in [
            "zapier",
            "zapier=",
            "zapier=x",
            "zapier=1/x",
            "zapier=-1",
            "zapier=inf",
        ] {
            assert!(sources(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        for (file, key) in [
            ("[gateway.tls]\ncertificate = \"a.pem\"\n", "gateway.tls"),
            (
                "[policy.tls]\nclient_certificates = \"required\"\n",
                "policy.tls",
            ),
            ("[tls]\nclient_key = \"k.pem\"\n", "tls.client_certificate"),
            (
                "[gateway]\nredirect_listen = \"127.0.0.1:80\"\n",
                "gateway.redirect_listen",
            ),
            ("[http]\nmax_header_bytes = 100\n", "http.max_header_bytes"),
            (
                "[kafka]\nsecurity_protocol = \"sasl_ssl\"\n",
                "kafka.sasl_username",
            ),
            (
                "[kafka]\nauthorities = \"ca.pem\"\n",
                "kafka.security_protocol",
            ),
        ] {
            let error = Settings::from_layers(Some((Path::new("t"), file)), []).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
