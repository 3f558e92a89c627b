//! What a user asks of an agent, read from the request.

use std::time::Duration;

use platform_http::Problem;
use platform_http::axum::http::{HeaderMap, header};
use serde_json::{Map, Value};

use crate::problems;

const LONGEST_NAME: usize = 128;
const LONGEST_SUBJECT: usize = 256;
const DEADLINES_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;

/// The body of `POST /v1/agents/{agent}/invoke`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    /// None where the agent has only one tool.
    pub(crate) tool: Option<String>,
    pub(crate) arguments: Map<String, Value>,
    pub(crate) space: String,
    /// Whose history the agent is shown; none for no history.
    pub(crate) subject: Option<String>,
    pub(crate) deadline: Option<Duration>,
}

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) respond_async: bool,
    /// How long the caller cares to wait.
    pub(crate) wait: Option<Duration>,
    pub(crate) events: bool,
}

impl Ask {
    /// # Errors
    /// 400 that names the member that is wrong.
    pub(crate) fn read(body: Value) -> Result<Self, Problem> {
        let Value::Object(mut members) = body else {
            return Err(wrong("the body must be a JSON object"));
        };
        let tool = name(&mut members, "tool", LONGEST_NAME)?;
        let space = name(&mut members, "space", 63)?;
        let subject = name(&mut members, "subject", LONGEST_SUBJECT)?;
        let arguments = match members.remove("arguments") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments,
            Some(_) => return Err(wrong("arguments must be an object")),
        };
        let deadline = match members.remove("deadline_ms") {
            None | Some(Value::Null) => None,
            Some(value) => Some(
                value
                    .as_u64()
                    .filter(|millis| DEADLINES_MS.contains(millis))
                    .ok_or_else(|| {
                        wrong("deadline_ms must be a whole number from 100 to 3600000")
                    })?,
            ),
        };
        if let Some(unknown) = members.keys().next() {
            return Err(wrong(format!(
                "{unknown:?} is not known here; known are tool, arguments, space, subject, deadline_ms"
            )));
        }
        // Taken by federation from the log for the agent, never from a caller.
        if arguments.contains_key("history") {
            return Err(wrong("arguments must not hold a history"));
        }
        Ok(Self {
            tool,
            arguments,
            space: space.unwrap_or_else(|| "default".to_owned()),
            subject,
            deadline: deadline.map(Duration::from_millis),
        })
    }
}

impl Wanted {
    /// `Prefer` (RFC 7240) and `Accept`.
    ///
    /// # Errors
    /// 406 when no answer of ours is acceptable.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut wanted = Self {
            respond_async: false,
            wait: None,
            events: false,
        };
        let preferences = headers.get_all("prefer").iter();
        for value in preferences.filter_map(|value| value.to_str().ok()) {
            for preference in value.split(',') {
                let preference = preference.split(';').next().unwrap_or_default().trim();
                match preference.split_once('=') {
                    None if preference.eq_ignore_ascii_case("respond-async") => {
                        wanted.respond_async = true;
                    }
                    Some((name, seconds)) if name.trim().eq_ignore_ascii_case("wait") => {
                        // One that cannot be read is passed over, as the RFC asks.
                        wanted.wait = seconds.trim().parse().ok().map(Duration::from_secs);
                    }
                    _ => {}
                }
            }
        }
        let mut accepts = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|range| {
                let range = range.split(';').next().unwrap_or_default();
                range.trim().to_ascii_lowercase()
            })
            .filter(|range| !range.is_empty())
            .peekable();
        if accepts.peek().is_none() {
            return Ok(wanted);
        }
        let mut json = false;
        for range in accepts {
            match range.as_str() {
                "text/event-stream" => wanted.events = true,
                "*/*" | "application/*" | "application/json" | "application/problem+json" => {
                    json = true;
                }
                _ => {}
            }
        }
        if !json && !wanted.events {
            return Err(problems::not_acceptable());
        }
        Ok(wanted)
    }
}

fn name(
    members: &mut Map<String, Value>,
    member: &str,
    longest: usize,
) -> Result<Option<String>, Problem> {
    match members.remove(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text))
            if !text.is_empty() && text.len() <= longest && !text.chars().any(char::is_control) =>
        {
            Ok(Some(text))
        }
        Some(_) => Err(wrong(format!(
            "{member} must be a text of 1 to {longest} bytes without control characters"
        ))),
    }
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::bad_request(detail)
}

#[cfg(test)]
mod tests {
    use platform_http::axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_asked_is_read_strictly() {
        let ask = Ask::read(json!({
            "tool": "t", "arguments": {"a": 1}, "space": "s", "subject": "ada", "deadline_ms": 500
        }))
        .unwrap();
        assert_eq!(ask.tool.as_deref(), Some("t"));
        assert_eq!(ask.deadline, Some(Duration::from_millis(500)));
        assert!(Ask::read(json!({})).unwrap().arguments.is_empty());
        for wrong in [
            json!([]),
            json!({"tool": ""}),
            json!({"tool": 1}),
            json!({"arguments": []}),
            json!({"arguments": {"history": []}}),
            json!({"deadline_ms": 1}),
            json!({"deadline_ms": 1.5}),
            json!({"subject": "a\nb"}),
            json!({"tenant": "other"}),
        ] {
            assert!(Ask::read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    fn of(entries: &[(&'static str, &'static str)]) -> Result<Wanted, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in entries {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Wanted::of(&headers)
    }

    #[test]
    fn preferences_are_read() {
        let wanted = of(&[
            ("prefer", "return=minimal, Respond-Async; x"),
            ("prefer", "wait=2"),
        ]);
        let wanted = wanted.unwrap();
        assert!(wanted.respond_async && !wanted.events);
        assert_eq!(wanted.wait, Some(Duration::from_secs(2)));
        assert_eq!(of(&[("prefer", "wait=soon")]).unwrap().wait, None);
        assert!(of(&[("accept", "text/event-stream")]).unwrap().events);
        assert!(
            !of(&[("accept", "application/json;q=0.9, */*")])
                .unwrap()
                .events
        );
        assert!(of(&[("accept", "image/png")]).is_err());
    }
}
