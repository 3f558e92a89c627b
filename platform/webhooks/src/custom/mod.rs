//! Schemes that a source describes itself, so that a new sender needs no code:
//! where the signature stands, how it is written, what is signed and how a
//! repeat is recognised. A description is checked when the source is registered.

mod check;
mod read;
mod template;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain_kernel::Timestamp;
use ring::hmac;

pub use read::{FIELDS, Issue};

use crate::answer::Auth;
use crate::key::{Function, Key};
use template::Template;

/// The scheme's name in a source.
pub const NAME: &str = "custom";

/// A scheme as its source describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    pub(crate) signature: Place,
    /// Before the signature's text.
    pub(crate) prefix: String,
    pub(crate) encoding: Encoding,
    pub(crate) algorithm: Algorithm,
    pub(crate) secret_encoding: Encoding,
    pub(crate) signed: Template,
    pub(crate) timestamp: Option<SignedTime>,
    pub(crate) delivery_id: IdFrom,
    /// A header that says what happened.
    pub(crate) event_type_header: Option<String>,
}

/// A header, or one field of a header that reads `name=value,name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) header: String,
    pub(crate) field: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignedTime {
    pub(crate) place: Place,
    pub(crate) millis: bool,
    /// In place of the deployment's own.
    pub(crate) tolerance_seconds: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdFrom {
    /// The digest of the body.
    Body,
    Header(String),
    /// A JSON pointer into the body.
    Pointer(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// The text itself; for secrets only.
    Text,
    Hex,
    Base64,
    Base64Url,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    HmacSha256,
    HmacSha1,
    HmacSha512,
    Ed25519,
}

/// The headers a description names, with the values a request has for them.
pub(crate) type Named = BTreeMap<String, String>;

impl Custom {
    pub fn signs_uri(&self) -> bool {
        self.signed.signs_uri()
    }

    /// Whether a header says what happened.
    pub fn names_the_event(&self) -> bool {
        self.event_type_header.is_some()
    }

    /// What a secret stands for; none when it does not have the form that the
    /// description gives it.
    pub fn key(
        &self,
        id: &str,
        secret: &str,
        valid_from: Option<Timestamp>,
        valid_until: Option<Timestamp>,
    ) -> Option<Key> {
        let bytes = self.secret_encoding.decode(secret)?;
        let function = match self.algorithm {
            Algorithm::HmacSha256 => Function::hmac(hmac::HMAC_SHA256, &bytes)?,
            Algorithm::HmacSha1 => Function::hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes)?,
            Algorithm::HmacSha512 => Function::hmac(hmac::HMAC_SHA512, &bytes)?,
            Algorithm::Ed25519 => Function::ed25519(&bytes)?,
        };
        Some(Key {
            id: id.to_owned(),
            valid_from,
            valid_until,
            function,
        })
    }
}

impl Encoding {
    pub(crate) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Text => Some(text.as_bytes().to_vec()),
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
            // With or without padding: senders differ.
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok(),
        }
    }
}

impl Algorithm {
    pub(crate) const fn auth(self) -> Auth {
        match self {
            Self::HmacSha256 => Auth::HmacSha256,
            Self::HmacSha1 => Auth::HmacSha1,
            Self::HmacSha512 => Auth::HmacSha512,
            Self::Ed25519 => Auth::Ed25519,
        }
    }
}
