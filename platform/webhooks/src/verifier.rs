use domain_kernel::Timestamp;
use ring::hmac;

use crate::answer::{Authentic, NotAuthentic, Presented};
use crate::key::Key;
use crate::{Custom, Scheme, UnsupportedScheme, custom};

/// How one source's deliveries are checked, and by which keys.
#[derive(Debug, Clone)]
pub struct Verifier {
    method: Method,
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
enum Method {
    Named(Scheme),
    Custom(Box<Custom>),
}

/// A source's deliveries cannot be checked by this version.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error(transparent)]
    Scheme(#[from] UnsupportedScheme),
    #[error("the source has scheme custom and does not describe it")]
    Undescribed,
    #[error("the description of the source's scheme cannot be used: {0}")]
    Description(String),
}

impl Verifier {
    pub const fn named(scheme: Scheme) -> Self {
        Self {
            method: Method::Named(scheme),
            keys: Vec::new(),
        }
    }

    /// By the scheme's name, and its description where the source has its own.
    ///
    /// # Errors
    /// When this version does not know the scheme, or the description is wrong.
    pub fn of(scheme: &str, signing: Option<&str>) -> Result<Self, Unusable> {
        let method = if scheme == custom::NAME {
            let text = signing.ok_or(Unusable::Undescribed)?;
            let value = serde_json::from_str(text)
                .map_err(|error| Unusable::Description(error.to_string()))?;
            let custom = Custom::read(value).map_err(|issues| {
                let first = issues.first().map(ToString::to_string);
                Unusable::Description(first.unwrap_or_default())
            })?;
            Method::Custom(Box::new(custom))
        } else {
            Method::Named(scheme.parse()?)
        };
        Ok(Self {
            method,
            keys: Vec::new(),
        })
    }

    /// Adds a secret. False when it does not have the form the scheme wants.
    #[must_use]
    pub fn add(
        &mut self,
        id: &str,
        secret: &str,
        valid_from: Option<Timestamp>,
        valid_until: Option<Timestamp>,
    ) -> bool {
        let key = match &self.method {
            Method::Named(scheme) => scheme.key(id, secret, valid_from, valid_until),
            Method::Custom(custom) => custom.key(id, secret, valid_from, valid_until),
        };
        let usable = key.is_some();
        self.keys.extend(key);
        usable
    }

    pub fn with_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys.extend(keys);
        self
    }

    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The scheme, when it is one that has a name.
    pub fn scheme(&self) -> Option<Scheme> {
        match &self.method {
            Method::Named(scheme) => Some(*scheme),
            Method::Custom(_) => None,
        }
    }

    /// Whether the URI is among what is signed.
    pub fn signs_uri(&self) -> bool {
        match &self.method {
            Method::Named(scheme) => scheme.signs_uri(),
            Method::Custom(custom) => custom.signs_uri(),
        }
    }

    /// Whether bodies may be HTML forms too: Slack sends its interactions so,
    /// and nobody knows what a source of its own description sends.
    pub fn reads_forms(&self) -> bool {
        matches!(
            self.method,
            Method::Named(Scheme::Slack) | Method::Custom(_)
        )
    }

    /// Who sent it, by the keys that are valid now.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn authenticate(&self, presented: &Presented<'_>) -> Result<Authentic, NotAuthentic> {
        let answer = match &self.method {
            Method::Named(scheme) => scheme.authenticate(&self.keys, presented),
            Method::Custom(custom) => custom.authenticate(&self.keys, presented),
        };
        if answer.as_ref().is_err_and(|refused| !refused.computed) {
            // Refused before any key was tried. What that would have cost is
            // spent all the same: the time of an answer tells nothing of how far
            // a guess got, nor of which scheme a source has.
            let nobody = hmac::Key::new(hmac::HMAC_SHA256, b"nobody");
            std::hint::black_box(hmac::sign(&nobody, presented.body));
        }
        answer
    }
}
