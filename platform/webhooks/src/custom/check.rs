use crate::MAX_SIGNATURES;
use crate::answer::{Authentic, NotAuthentic, Presented};
use crate::headers::{is_token, number, only, own_id};
use crate::key::{Candidates, Key, MAX_ED25519, matching_key};

use super::template::Part;
use super::{Algorithm, Custom, IdFrom, Named, Place};

impl Custom {
    pub(crate) fn authenticate(
        &self,
        keys: &[Key],
        presented: &Presented<'_>,
    ) -> Result<Authentic, NotAuthentic> {
        let mut used = Named::new();
        let candidates = self.candidates(presented, &mut used)?;
        let timestamp = match &self.timestamp {
            Some(time) => Some(
                time.place
                    .values(presented, &mut used)
                    .and_then(|values| match values.as_slice() {
                        [one] => Some((*one).to_owned()),
                        _ => None,
                    })
                    .ok_or(NotAuthentic::bad("the timestamp is missing or repeated"))?,
            ),
            None => None,
        };
        let moment = match &timestamp {
            Some(text) => {
                Some(number(text).ok_or(NotAuthentic::bad("the timestamp is malformed"))?)
            }
            None => None,
        };

        let parts = self.signed_parts(presented, timestamp.as_deref(), &mut used)?;
        let key = matching_key(keys, presented.now, &parts, &candidates)
            .ok_or(NotAuthentic::unexplained())?;
        if let (Some(time), Some(moment)) = (&self.timestamp, moment) {
            let millis = if time.millis {
                moment
            } else {
                moment.saturating_mul(1_000)
            };
            // Where time is not looked at, it is not looked at here either.
            let tolerance_seconds = presented
                .tolerance_seconds
                .map(|usual| time.tolerance_seconds.unwrap_or(usual));
            Presented {
                tolerance_seconds,
                ..*presented
            }
            .fresh(millis)?;
        }

        let delivery_id = self.delivery_id(presented, &mut used)?;
        let event_type = self.event_type_header.as_ref().and_then(|name| {
            let value = only(presented.headers, name).filter(|value| is_token(value))?;
            used.insert(name.clone(), value.to_owned());
            Some(value.to_owned())
        });
        Ok(Authentic {
            auth: self.algorithm.auth(),
            key_id: key.id.clone(),
            delivery_id,
            headers: used.into_iter().collect(),
            event_type,
        })
    }

    fn candidates(
        &self,
        presented: &Presented<'_>,
        used: &mut Named,
    ) -> Result<Candidates, NotAuthentic> {
        let values = self
            .signature
            .values(presented, used)
            .ok_or(NotAuthentic::bad("the signature is missing or repeated"))?;
        let asymmetric = self.algorithm == Algorithm::Ed25519;
        let most = if asymmetric {
            MAX_ED25519
        } else {
            MAX_SIGNATURES
        };
        if values.len() > most {
            return Err(NotAuthentic::bad("there are too many signatures"));
        }
        let decoded: Vec<Vec<u8>> = values
            .into_iter()
            .filter_map(|value| value.strip_prefix(self.prefix.as_str()))
            .filter_map(|text| self.encoding.decode(text))
            .collect();
        if decoded.is_empty() {
            return Err(NotAuthentic::bad("the signature is malformed"));
        }
        Ok(if asymmetric {
            Candidates {
                macs: Vec::new(),
                signatures: decoded,
            }
        } else {
            Candidates {
                macs: decoded,
                signatures: Vec::new(),
            }
        })
    }

    fn signed_parts<'a>(
        &'a self,
        presented: &Presented<'a>,
        timestamp: Option<&'a str>,
        used: &mut Named,
    ) -> Result<Vec<&'a [u8]>, NotAuthentic> {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(self.signed.parts().len());
        for part in self.signed.parts() {
            parts.push(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Body => presented.body,
                Part::Timestamp => timestamp.unwrap_or_default().as_bytes(),
                Part::Method => presented.method.as_bytes(),
                Part::Uri => presented.uri.as_bytes(),
                Part::Header(name) => {
                    let value = only(presented.headers, name)
                        .ok_or(NotAuthentic::bad("a signed header is missing or repeated"))?;
                    used.insert(name.clone(), value.to_owned());
                    value.as_bytes()
                }
            });
        }
        Ok(parts)
    }

    /// A header that is not signed is not believed alone: anyone could send the
    /// same body under another id. Together with the body it can only tell two
    /// deliveries apart that say the same.
    fn delivery_id(
        &self,
        presented: &Presented<'_>,
        used: &mut Named,
    ) -> Result<String, NotAuthentic> {
        match &self.delivery_id {
            IdFrom::Body => Ok(presented.body_sha256.to_owned()),
            IdFrom::Pointer(pointer) => {
                Ok(id_at(presented.body, pointer)
                    .unwrap_or_else(|| presented.body_sha256.to_owned()))
            }
            IdFrom::Header(name) => {
                let id = only(presented.headers, name)
                    .filter(|id| is_token(id))
                    .ok_or(NotAuthentic::bad("the delivery id is missing or malformed"))?;
                used.insert(name.clone(), id.to_owned());
                Ok(if self.signed.has(&Part::Header(name.clone())) {
                    id.to_owned()
                } else {
                    format!("{}:{id}", presented.body_sha256)
                })
            }
        }
    }
}

impl Place {
    /// The values at this place; more than one only where a field is repeated.
    fn values<'h>(&self, presented: &Presented<'h>, used: &mut Named) -> Option<Vec<&'h str>> {
        let header = only(presented.headers, &self.header)?;
        used.insert(self.header.clone(), header.to_owned());
        let Some(field) = &self.field else {
            return Some(vec![header]);
        };
        let values: Vec<_> = header
            .split([',', ';'])
            .filter_map(|element| element.trim().split_once('='))
            .filter(|(name, _)| name == field)
            .map(|(_, value)| value)
            .take(MAX_SIGNATURES + 1)
            .collect();
        (!values.is_empty()).then_some(values)
    }
}

fn id_at(body: &[u8], pointer: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    match body.pointer(pointer)? {
        serde_json::Value::String(text) => own_id(text.clone()),
        serde_json::Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}
