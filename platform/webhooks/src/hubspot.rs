//! HubSpot. Version 3: HMAC-SHA256 over method, URI, body and timestamp, one
//! after the other, the URI with twelve of its escapes decoded. Version 2: plain
//! SHA-256 over secret, method, URI and body, without a time. Neither has an id,
//! so a repeat is recognised by the body's digest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::answer::{Auth, Authentic, NotAuthentic, Presented};
use crate::headers::{number, only};
use crate::key::{Candidates, Key, matching_key};

pub(crate) const SIGNATURE_V3: &str = "x-hubspot-signature-v3";
pub(crate) const SIGNATURE_V2: &str = "x-hubspot-signature";
/// Milliseconds, unlike in other schemes.
const TIMESTAMP: &str = "x-hubspot-request-timestamp";

/// The escapes that are decoded before the URI is signed.
const DECODED: [(&str, char); 12] = [
    ("%3A", ':'),
    ("%2F", '/'),
    ("%3F", '?'),
    ("%40", '@'),
    ("%21", '!'),
    ("%24", '$'),
    ("%27", '\''),
    ("%28", '('),
    ("%29", ')'),
    ("%2A", '*'),
    ("%2C", ','),
    ("%3B", ';'),
];

pub(crate) fn authenticate_v3(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let signature = only(presented.headers, SIGNATURE_V3).ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    let timestamp = only(presented.headers, TIMESTAMP).ok_or(NotAuthentic::bad(
        "the timestamp header is missing or repeated",
    ))?;
    let millis = number(timestamp).ok_or(NotAuthentic::bad("the timestamp is malformed"))?;
    let mac = STANDARD
        .decode(signature)
        .map_err(|_| NotAuthentic::bad("the signature is malformed"))?;
    let uri = decoded(presented.uri);
    let signed: [&[u8]; 4] = [
        presented.method.as_bytes(),
        uri.as_bytes(),
        presented.body,
        timestamp.as_bytes(),
    ];
    let key = matching_key(keys, presented.now, &signed, &Candidates::mac(mac))
        .ok_or(NotAuthentic::unexplained())?;
    presented.fresh(millis)?;
    Ok(authentic(
        Auth::HmacSha256,
        key,
        presented,
        &[(SIGNATURE_V3, signature), (TIMESTAMP, timestamp)],
    ))
}

pub(crate) fn authenticate_v2(
    keys: &[Key],
    presented: &Presented<'_>,
) -> Result<Authentic, NotAuthentic> {
    let signature = only(presented.headers, SIGNATURE_V2).ok_or(NotAuthentic::bad(
        "the signature header is missing or repeated",
    ))?;
    let mac =
        hex::decode(signature).map_err(|_| NotAuthentic::bad("the signature is malformed"))?;
    let signed: [&[u8]; 3] = [
        presented.method.as_bytes(),
        presented.uri.as_bytes(),
        presented.body,
    ];
    let key = matching_key(keys, presented.now, &signed, &Candidates::mac(mac))
        .ok_or(NotAuthentic::unexplained())?;
    Ok(authentic(
        Auth::Sha256,
        key,
        presented,
        &[(SIGNATURE_V2, signature)],
    ))
}

fn authentic(
    auth: Auth,
    key: &Key,
    presented: &Presented<'_>,
    headers: &[(&str, &str)],
) -> Authentic {
    Authentic {
        auth,
        key_id: key.id.clone(),
        delivery_id: presented.body_sha256.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        event_type: None,
    }
}

fn decoded(uri: &str) -> String {
    DECODED
        .iter()
        .fold(uri.to_owned(), |uri, (escape, character)| {
            uri.replace(escape, character.encode_utf8(&mut [0; 4]))
                .replace(
                    &escape.to_ascii_lowercase(),
                    character.encode_utf8(&mut [0; 4]),
                )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_escapes_are_decoded_and_no_other() {
        assert_eq!(
            decoded("https://a.example/hooks/x?u=%3a%2F%2f%20%40"),
            "https://a.example/hooks/x?u=://%20@"
        );
    }
}
