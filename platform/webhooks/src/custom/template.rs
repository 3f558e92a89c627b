//! What is signed, as a text with places: `{timestamp}.{body}`.

use std::fmt;

/// Places in one template; nobody signs more.
const MAX_PARTS: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Body,
    /// The timestamp's text as it was sent.
    Timestamp,
    Method,
    Uri,
    /// The value of a header, by its lowercase name.
    Header(String),
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    Brace,
    Unknown(String),
    TooLong,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brace => f.write_str("has a brace without its partner"),
            Self::Unknown(place) => write!(
                f,
                "has a place {{{place}}}; there are {{body}}, {{timestamp}}, {{method}}, {{uri}} and {{header:NAME}}"
            ),
            Self::TooLong => f.write_str("has too many places"),
        }
    }
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = match rest.split_once('{') {
                Some((before, after)) => (before, Some(after)),
                None => (rest, None),
            };
            if before.contains('}') {
                return Err(Wrong::Brace);
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some(after) = after else { break };
            let (place, behind) = after.split_once('}').ok_or(Wrong::Brace)?;
            parts.push(Part::of(place)?);
            rest = behind;
            if parts.len() > MAX_PARTS {
                return Err(Wrong::TooLong);
            }
        }
        Ok(Self { parts })
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn has(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }

    pub(crate) fn signs_uri(&self) -> bool {
        self.has(&Part::Uri)
    }
}

impl Part {
    fn of(place: &str) -> Result<Self, Wrong> {
        Ok(match place {
            "body" => Self::Body,
            "timestamp" => Self::Timestamp,
            "method" => Self::Method,
            "uri" => Self::Uri,
            other => match other.strip_prefix("header:") {
                Some(name) if http::HeaderName::from_bytes(name.as_bytes()).is_ok() => {
                    Self::Header(name.to_ascii_lowercase())
                }
                _ => return Err(Wrong::Unknown(other.to_owned())),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_text() {
        let template = Template::parse("v0:{timestamp}:{header:X-Id}{body}!").unwrap();
        assert_eq!(
            template.parts(),
            [
                Part::Text("v0:".to_owned()),
                Part::Timestamp,
                Part::Text(":".to_owned()),
                Part::Header("x-id".to_owned()),
                Part::Body,
                Part::Text("!".to_owned()),
            ]
        );
        for bad in [
            "{body",
            "body}",
            "{}",
            "{Body}",
            "{header:}",
            "{header:a b}",
            "{{body}}",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
        assert!(Template::parse(&"{body}".repeat(MAX_PARTS + 1)).is_err());
    }
}
