use domain_registry::{Issuer, Resource};
use serde_json::{Value, json};
use url::{Host, Url};

use super::fields::Fields;
use super::{check, scopes};

/// Asymmetric ones only: a shared secret would let whoever checks a token make one.
const ALGORITHMS: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
const DEFAULT_ALGORITHMS: [&str; 2] = ["RS256", "ES256"];

pub(super) fn read(fields: &mut Fields<'_>) -> Resource {
    let url = check::address(fields, "url");
    if is_in_clear(&url) {
        fields.issue("url", "must be https, but for an issuer on this machine");
    }
    let audiences = fields.texts("audiences");
    if audiences.is_empty() {
        fields.issue("audiences", "must have at least one audience");
    }
    let mut algorithms = fields.texts("algorithms");
    for (index, algorithm) in algorithms.iter().enumerate() {
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            fields.issue(
                &format!("algorithms/{index}"),
                format!("must be one of {}", ALGORITHMS.join(", ")),
            );
        }
    }
    if algorithms.is_empty() {
        algorithms = DEFAULT_ALGORITHMS.map(str::to_owned).to_vec();
    }
    let scopes = scopes::read(fields);
    Resource::Issuer(Issuer {
        url,
        audiences,
        algorithms,
        scopes,
    })
}

/// Whether whoever sits on the way could hand out keys of their own.
fn is_in_clear(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && !here
}

pub(super) fn show(issuer: &Issuer) -> Value {
    json!({
        "url": issuer.url,
        "audiences": issuer.audiences,
        "algorithms": issuer.algorithms,
        "scopes": issuer.scopes,
    })
}
