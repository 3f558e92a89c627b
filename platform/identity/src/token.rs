//! Tokens of OpenID Connect issuers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use platform_config::Identity as Settings;
use platform_resilience::CircuitState;
use serde::Deserialize;

use crate::identity::Unbelieved;
use crate::jwks::Jwks;
use crate::{Caller, Directory, KnownIssuer, Method};

/// Longer than any token that is meant well; headers are bounded as well.
const LONGEST_TOKEN: usize = 16 << 10;
const LONGEST_SUBJECT: usize = 255;

#[derive(Debug)]
pub(crate) struct Tokens {
    jwks: Jwks,
    leeway_seconds: u64,
}

/// What is looked at before anything is believed: whom to ask.
#[derive(Debug, Deserialize)]
struct Unchecked {
    iss: String,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    aud: OneOrMany,
    /// OAuth's way: names with spaces between.
    #[serde(default)]
    scope: Option<String>,
    /// As some issuers have it.
    #[serde(default)]
    scp: Option<OneOrMany>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Tokens {
    pub(crate) fn new(settings: &Settings, jwks: Jwks) -> Self {
        Self {
            jwks,
            leeway_seconds: settings.leeway_s,
        }
    }

    /// How the circuits before the issuers stand.
    pub(crate) fn circuit(&self) -> CircuitState {
        self.jwks.circuit()
    }

    pub(crate) async fn check(
        &self,
        token: &str,
        directory: &dyn Directory,
    ) -> Result<Caller, Unbelieved> {
        if token.len() > LONGEST_TOKEN {
            return Err(Unbelieved::Malformed);
        }
        let header = decode_header(token).map_err(|_| Unbelieved::Malformed)?;
        let issuer = issuer_of(token).ok_or(Unbelieved::Malformed)?;
        let accepted = directory.issuers(&issuer);
        if accepted.is_empty() {
            return Err(Unbelieved::UnknownIssuer);
        }
        // Only what somebody registered is ever asked over the network.
        if !accepted
            .iter()
            .any(|known| names_algorithm(known, header.alg))
        {
            return Err(Unbelieved::BadToken);
        }
        let key = self
            .jwks
            .key(&issuer, header.kid.as_deref())
            .await
            .ok_or(Unbelieved::NoKeyOfIssuer)?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = self.leeway_seconds;
        validation.validate_nbf = true;
        validation.set_issuer(&[&issuer]);
        let audiences: Vec<&String> = accepted.iter().flat_map(|known| &known.audiences).collect();
        validation.set_audience(&audiences);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = decode::<Claims>(token, &key, &validation)
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::ExpiredSignature => Unbelieved::Expired,
                _ => Unbelieved::BadToken,
            })?
            .claims;
        caller(claims, &accepted, header.alg)
    }
}

fn caller(
    claims: Claims,
    accepted: &[KnownIssuer],
    algorithm: Algorithm,
) -> Result<Caller, Unbelieved> {
    let mut meant = accepted.iter().filter(|known| {
        names_algorithm(known, algorithm)
            && known
                .audiences
                .iter()
                .any(|audience| claims.aud.all().contains(audience))
    });
    let known = meant.next().ok_or(Unbelieved::BadToken)?;
    // Whose token it is must not depend on an order.
    if meant.next().is_some() {
        return Err(Unbelieved::Ambiguous);
    }
    let subject = &claims.sub;
    if subject.is_empty()
        || subject.len() > LONGEST_SUBJECT
        || !subject.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(Unbelieved::BadToken);
    }
    Ok(Caller {
        tenant: Some(known.tenant.clone()),
        scopes: scopes(&claims, known),
        subject: claims.sub,
        method: Method::Token,
        key_id: Some(known.id.clone()),
    })
}

/// A token that says what it is for is held to it, and none may do more than
/// its issuer's registration; one that says nothing may do all of that.
fn scopes(claims: &Claims, known: &KnownIssuer) -> Vec<String> {
    let mut named: Vec<&str> = Vec::new();
    if let Some(scope) = &claims.scope {
        named.extend(scope.split(' '));
    }
    if let Some(scp) = &claims.scp {
        named.extend(scp.all().iter().flat_map(|scope| scope.split(' ')));
    }
    if claims.scope.is_none() && claims.scp.is_none() {
        return known.scopes.clone();
    }
    let everything = known.scopes.iter().any(|scope| scope == "*");
    named
        .into_iter()
        .filter(|named| *named != "*" && !named.is_empty())
        .filter(|named| everything || known.scopes.iter().any(|scope| scope == named))
        .map(str::to_owned)
        .collect()
}

fn names_algorithm(known: &KnownIssuer, algorithm: Algorithm) -> bool {
    known
        .algorithms
        .iter()
        .any(|name| name.parse() == Ok(algorithm))
}

/// The issuer a token names, before anything is checked.
fn issuer_of(token: &str) -> Option<String> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    Some(serde_json::from_slice::<Unchecked>(&payload).ok()?.iss)
}
