use domain_kernel::Timestamp;
use domain_registry as domain;
use serde::{Deserialize, Serialize};

use crate::value::Text;

#[derive(Serialize, Deserialize)]
pub(crate) struct Secret<'a> {
    id: Text<'a>,
    sealed: Text<'a>,
    valid_from: Option<i64>,
    valid_until: Option<i64>,
}

impl<'a> From<&'a domain::Secret> for Secret<'a> {
    fn from(secret: &'a domain::Secret) -> Self {
        Self {
            id: (&secret.id).into(),
            sealed: (&secret.sealed).into(),
            valid_from: secret.valid_from.map(Timestamp::as_micros),
            valid_until: secret.valid_until.map(Timestamp::as_micros),
        }
    }
}

impl From<Secret<'_>> for domain::Secret {
    fn from(published: Secret<'_>) -> Self {
        Self {
            id: published.id.into_owned(),
            sealed: published.sealed.into_owned(),
            valid_from: published.valid_from.map(Timestamp::from_micros),
            valid_until: published.valid_until.map(Timestamp::from_micros),
        }
    }
}
