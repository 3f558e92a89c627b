use domain_kernel::DecisionId;
use domain_policy as domain;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    datum::{BadDatum, Reader, Writer},
    value::{Text, Unmappable, borrowed, json, owned},
};

#[derive(Serialize, Deserialize)]
pub(crate) struct PolicyDecided<'a> {
    decision_id: Uuid,
    path: Text<'a>,
    bundle_digest: Text<'a>,
    input: Text<'a>,
    result: Option<Text<'a>>,
    allow: bool,
    reasons: Vec<Text<'a>>,
    engine: Text<'a>,
    duration_us: u64,
}

impl<'a> From<&'a domain::PolicyDecided> for PolicyDecided<'a> {
    fn from(event: &'a domain::PolicyDecided) -> Self {
        Self {
            decision_id: event.decision_id.as_uuid(),
            path: (&event.path).into(),
            bundle_digest: (&event.bundle_digest).into(),
            input: event.input.as_str().into(),
            result: event.result.as_ref().map(|json| json.as_str().into()),
            allow: event.allow,
            reasons: borrowed(&event.reasons),
            engine: (&event.engine).into(),
            duration_us: event.duration_us,
        }
    }
}

impl TryFrom<PolicyDecided<'_>> for domain::PolicyDecided {
    type Error = Unmappable;

    fn try_from(published: PolicyDecided<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            decision_id: DecisionId::from_uuid(published.decision_id),
            path: published.path.into_owned(),
            bundle_digest: published.bundle_digest.into_owned(),
            input: json("input", published.input)?,
            result: published
                .result
                .map(|text| json("result", text))
                .transpose()?,
            allow: published.allow,
            reasons: owned(published.reasons),
            engine: published.engine.into_owned(),
            duration_us: published.duration_us,
        })
    }
}

/// The datum of version 1 by hand: every delivery is decided about, and much else.
pub(crate) fn write(event: &domain::PolicyDecided, datum: &mut Vec<u8>) -> Result<(), BadDatum> {
    let mut id = Uuid::encode_buffer();
    let mut to = Writer::new(datum);
    to.text(
        event
            .decision_id
            .as_uuid()
            .hyphenated()
            .encode_lower(&mut id),
    );
    to.text(&event.path);
    to.text(&event.bundle_digest);
    to.text(event.input.as_str());
    to.maybe_text(event.result.as_ref().map(|json| json.as_str()));
    to.boolean(event.allow);
    to.texts(&event.reasons);
    to.text(&event.engine);
    to.unsigned(event.duration_us)
}

/// Reads a datum of version 1 by hand.
pub(crate) fn read(datum: &[u8]) -> Result<domain::PolicyDecided, Unmappable> {
    let mut from = Reader::new(datum);
    let decision_id = from.text()?;
    let path = from.text()?;
    let bundle_digest = from.text()?;
    let input = from.text()?;
    let result = from.maybe(Reader::text)?;
    let allow = from.boolean()?;
    let reasons = from.texts()?;
    let engine = from.text()?;
    let duration_us = from.unsigned()?;
    from.end()?;
    Ok(domain::PolicyDecided {
        decision_id: decision_id
            .parse::<DecisionId>()
            .map_err(|_| Unmappable::Value {
                field: "decision_id",
                found: decision_id.to_owned(),
            })?,
        path: path.to_owned(),
        bundle_digest: bundle_digest.to_owned(),
        input: json("input", input.into())?,
        result: result.map(|text| json("result", text.into())).transpose()?,
        allow,
        reasons,
        engine: engine.to_owned(),
        duration_us,
    })
}

#[cfg(test)]
mod tests;
