use std::borrow::Cow;

use domain_delivery as domain;
use domain_kernel::Space;
use serde::{Deserialize, Serialize};

use crate::{
    datum::{BadDatum, Reader, Writer},
    value::{Text, Unmappable, bytes, maybe_borrowed, maybe_owned, space},
};

#[derive(Serialize, Deserialize)]
pub(crate) struct DeliveryAccepted<'a> {
    source_id: Text<'a>,
    delivery_id: Text<'a>,
    space: Text<'a>,
    scheme: Text<'a>,
    auth: Text<'a>,
    key_id: Option<Text<'a>>,
    content_type: Text<'a>,
    #[serde(with = "bytes")]
    pub(crate) body: Cow<'a, [u8]>,
    body_sha256: Text<'a>,
    signed_headers: Vec<Header<'a>>,
    event_type: Text<'a>,
    subject: Option<Text<'a>>,
    // Since version 2. Before it, URIs were signed but not kept, and nothing
    // was put into quarantine.
    #[serde(default)]
    request_method: Option<Text<'a>>,
    #[serde(default)]
    request_uri: Option<Text<'a>>,
    #[serde(default)]
    source_version: Option<u64>,
    #[serde(default)]
    quarantine: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    name: Text<'a>,
    value: Text<'a>,
}

impl<'a> From<&'a domain::DeliveryAccepted> for DeliveryAccepted<'a> {
    fn from(event: &'a domain::DeliveryAccepted) -> Self {
        Self {
            source_id: (&event.source_id).into(),
            delivery_id: (&event.delivery_id).into(),
            space: event.space.as_str().into(),
            scheme: (&event.scheme).into(),
            auth: event.auth.as_str().into(),
            key_id: maybe_borrowed(&event.key_id),
            content_type: (&event.content_type).into(),
            body: (&event.body).into(),
            body_sha256: (&event.body_sha256).into(),
            signed_headers: event
                .signed_headers
                .iter()
                .map(|(name, value)| Header {
                    name: name.into(),
                    value: value.into(),
                })
                .collect(),
            event_type: (&event.event_type).into(),
            subject: maybe_borrowed(&event.subject),
            request_method: event.request.as_ref().map(|line| (&line.method).into()),
            request_uri: event.request.as_ref().map(|line| (&line.uri).into()),
            source_version: event.source_version,
            quarantine: event.quarantine.map(|why| why.as_str().into()),
        }
    }
}

impl TryFrom<DeliveryAccepted<'_>> for domain::DeliveryAccepted {
    type Error = Unmappable;

    fn try_from(published: DeliveryAccepted<'_>) -> Result<Self, Unmappable> {
        Ok(Self {
            source_id: published.source_id.into_owned(),
            delivery_id: published.delivery_id.into_owned(),
            space: space(published.space),
            scheme: published.scheme.into_owned(),
            auth: published.auth.parse()?,
            key_id: maybe_owned(published.key_id),
            content_type: published.content_type.into_owned(),
            body: published.body.into_owned(),
            body_sha256: published.body_sha256.into_owned(),
            signed_headers: published
                .signed_headers
                .into_iter()
                .map(|header| (header.name.into_owned(), header.value.into_owned()))
                .collect(),
            event_type: published.event_type.into_owned(),
            subject: maybe_owned(published.subject),
            request: match (published.request_method, published.request_uri) {
                (Some(method), Some(uri)) => Some(domain::RequestLine {
                    method: method.into_owned(),
                    uri: uri.into_owned(),
                }),
                _ => None,
            },
            source_version: published.source_version,
            quarantine: match published.quarantine {
                Some(why) => Some(why.parse()?),
                None => None,
            },
        })
    }
}

/// The datum of version 2 by hand: every delivery is written as one.
pub(crate) fn write(event: &domain::DeliveryAccepted, datum: &mut Vec<u8>) -> Result<(), BadDatum> {
    let request = event.request.as_ref();
    let mut to = Writer::new(datum);
    to.text(&event.source_id);
    to.text(&event.delivery_id);
    to.text(event.space.as_str());
    to.text(&event.scheme);
    to.text(event.auth.as_str());
    to.maybe_text(event.key_id.as_deref());
    to.text(&event.content_type);
    to.bytes(&event.body);
    to.text(&event.body_sha256);
    to.pairs(&event.signed_headers);
    to.text(&event.event_type);
    to.maybe_text(event.subject.as_deref());
    to.maybe_text(request.map(|line| line.method.as_str()));
    to.maybe_text(request.map(|line| line.uri.as_str()));
    to.maybe_unsigned(event.source_version)?;
    to.maybe_text(event.quarantine.map(|why| why.as_str()));
    Ok(())
}

/// Reads a datum of version 2 by hand: rebuilding a read model is mostly this.
/// Nothing is owned before all of it has been read, which is what makes it quick.
pub(crate) fn read(datum: &[u8]) -> Result<domain::DeliveryAccepted, Unmappable> {
    let mut from = Reader::new(datum);
    let source_id = from.text()?;
    let delivery_id = from.text()?;
    let space = from.text()?;
    let scheme = from.text()?;
    let auth = from.text()?;
    let key_id = from.maybe(Reader::text)?;
    let content_type = from.text()?;
    let body = from.bytes()?;
    let body_sha256 = from.text()?;
    let signed_headers = from.pairs()?;
    let event_type = from.text()?;
    let subject = from.maybe(Reader::text)?;
    let request_method = from.maybe(Reader::text)?;
    let request_uri = from.maybe(Reader::text)?;
    let source_version = from.maybe(Reader::unsigned)?;
    let quarantine = from.maybe(Reader::text)?;
    from.end()?;
    Ok(domain::DeliveryAccepted {
        source_id: source_id.to_owned(),
        delivery_id: delivery_id.to_owned(),
        space: Space::new(space),
        scheme: scheme.to_owned(),
        auth: auth.parse()?,
        key_id: key_id.map(str::to_owned),
        content_type: content_type.to_owned(),
        body: body.to_vec(),
        body_sha256: body_sha256.to_owned(),
        signed_headers,
        event_type: event_type.to_owned(),
        subject: subject.map(str::to_owned),
        request: match (request_method, request_uri) {
            (Some(method), Some(uri)) => Some(domain::RequestLine {
                method: method.to_owned(),
                uri: uri.to_owned(),
            }),
            _ => None,
        },
        source_version,
        quarantine: quarantine.map(str::parse).transpose()?,
    })
}

#[cfg(test)]
mod tests;
