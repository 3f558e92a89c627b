use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain_kernel::Timestamp;
use http::HeaderMap;

use crate::answer::{Authentic, NotAuthentic, Presented};
use crate::key::{Function, Key};
use crate::{
    bearer, github, hubspot, mtls, sfmc_ens, shopify, slack, standard_webhooks, stripe, zapier,
};

/// The schemes that are known by name. What else there is, a source describes
/// itself ([`Custom`](crate::Custom)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    StandardWebhooks,
    Github,
    Stripe,
    Slack,
    Shopify,
    HubspotV3,
    HubspotV2,
    SfmcEns,
    Zapier,
    Bearer,
    Mtls,
}

/// A scheme a source may name but this version cannot check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signature scheme {name} is not supported")]
pub struct UnsupportedScheme {
    pub name: String,
}

impl Scheme {
    pub const ALL: [Self; 11] = [
        Self::StandardWebhooks,
        Self::Github,
        Self::Stripe,
        Self::Slack,
        Self::Shopify,
        Self::HubspotV3,
        Self::HubspotV2,
        Self::SfmcEns,
        Self::Zapier,
        Self::Bearer,
        Self::Mtls,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StandardWebhooks => "standard-webhooks",
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
            Self::Shopify => "shopify",
            Self::HubspotV3 => "hubspot-v3",
            Self::HubspotV2 => "hubspot-v2",
            Self::SfmcEns => "sfmc-ens",
            Self::Zapier => "zapier",
            Self::Bearer => "bearer",
            Self::Mtls => "mtls",
        }
    }

    /// Whether the URI is among what is signed.
    pub const fn signs_uri(self) -> bool {
        matches!(self, Self::HubspotV3 | Self::HubspotV2)
    }

    /// Whether a header says what happened, so that a source need not say where
    /// the event type is.
    pub const fn names_the_event(self) -> bool {
        matches!(self, Self::Github | Self::Shopify)
    }

    /// Which scheme a request looks like, so that a source nobody knows costs
    /// as much as one that exists.
    pub fn guess(headers: &HeaderMap) -> Self {
        for (header, scheme) in [
            (github::SIGNATURE, Self::Github),
            (stripe::SIGNATURE, Self::Stripe),
            (slack::SIGNATURE, Self::Slack),
            (shopify::SIGNATURE, Self::Shopify),
            (hubspot::SIGNATURE_V3, Self::HubspotV3),
            (hubspot::SIGNATURE_V2, Self::HubspotV2),
            (sfmc_ens::SIGNATURE, Self::SfmcEns),
            (bearer::HEADER, Self::Bearer),
        ] {
            if headers.contains_key(header) {
                return scheme;
            }
        }
        Self::StandardWebhooks
    }

    /// What a secret stands for under this scheme; none when it does not have
    /// the scheme's form.
    pub fn key(
        self,
        id: &str,
        secret: &str,
        valid_from: Option<Timestamp>,
        valid_until: Option<Timestamp>,
    ) -> Option<Key> {
        let function = match self {
            Self::StandardWebhooks => standard_webhooks::function(secret)?,
            Self::Github
            | Self::Stripe
            | Self::Slack
            | Self::Shopify
            | Self::HubspotV3
            | Self::SfmcEns
            | Self::Zapier => Function::hmac_sha256(secret.as_bytes())?,
            Self::HubspotV2 => Function::prefixed(secret.as_bytes())?,
            Self::Bearer => Function::token(secret)?,
            Self::Mtls => mtls::function(secret)?,
        };
        Some(Key {
            id: id.to_owned(),
            valid_from,
            valid_until,
            function,
        })
    }

    /// A key no sender has, made of random bytes.
    pub fn nobody_s_key(self, random: &[u8]) -> Option<Key> {
        let secret = match self {
            Self::Mtls => format!("subject:{}", hex::encode(random)),
            _ => STANDARD.encode(random),
        };
        self.key("nobody", &secret, None, None)
    }

    /// Who sent it, by the keys that are valid now.
    ///
    /// # Errors
    /// Why it is not believed.
    pub(crate) fn authenticate(
        self,
        keys: &[Key],
        presented: &Presented<'_>,
    ) -> Result<Authentic, NotAuthentic> {
        match self {
            Self::StandardWebhooks => standard_webhooks::authenticate(keys, presented),
            Self::Github => github::authenticate(keys, presented),
            Self::Stripe => stripe::authenticate(keys, presented),
            Self::Slack => slack::authenticate(keys, presented),
            Self::Shopify => shopify::authenticate(keys, presented),
            Self::HubspotV3 => hubspot::authenticate_v3(keys, presented),
            Self::HubspotV2 => hubspot::authenticate_v2(keys, presented),
            Self::SfmcEns => sfmc_ens::authenticate(keys, presented),
            Self::Zapier => zapier::authenticate(keys, presented),
            Self::Bearer => bearer::authenticate(keys, presented),
            Self::Mtls => mtls::authenticate(keys, presented),
        }
    }
}

impl FromStr for Scheme {
    type Err = UnsupportedScheme;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == name)
            .ok_or_else(|| UnsupportedScheme {
                name: name.to_owned(),
            })
    }
}
