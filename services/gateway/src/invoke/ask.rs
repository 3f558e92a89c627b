//! What a user asks of an agent, read from the request.

use std::time::Duration;

use platform_http::Problem;
use platform_http::axum::http::header::GetAll;
use platform_http::axum::http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value};

use crate::problems;

const LONGEST_NAME: usize = 128;
const LONGEST_SUBJECT: usize = 256;
const DEADLINES_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;

/// The body of `POST /v1/agents/{agent}/invoke`.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// None where the agent has only one tool.
    pub tool: Option<String>,
    pub arguments: Map<String, Value>,
    pub space: String,
    /// Whose history the agent is shown; none for no history.
    pub subject: Option<String>,
    pub deadline: Option<Duration>,
}

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub respond_async: bool,
    /// How long the caller cares to wait.
    pub wait: Option<Duration>,
    pub events: bool,
}

impl Ask {
    /// # Errors
    /// 400 that names the member that is wrong.
    pub fn read(body: Value) -> Result<Self, Problem> {
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
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut wanted = Self {
            respond_async: false,
            wait: None,
            events: false,
        };
        for preference in elements(headers.get_all("prefer")) {
            let preference = parts(preference, ';').next().unwrap_or_default().trim();
            match preference.split_once('=') {
                None if preference.eq_ignore_ascii_case("respond-async") => {
                    wanted.respond_async = true;
                }
                // The first one counts, as the RFC asks; one that cannot be read
                // is passed over.
                Some((name, seconds)) if name.trim().eq_ignore_ascii_case("wait") => {
                    let seconds = seconds.trim().trim_matches('"').parse().ok();
                    wanted.wait = wanted.wait.or(seconds.map(Duration::from_secs));
                }
                _ => {}
            }
        }
        let mut accepts = elements(headers.get_all(header::ACCEPT))
            .map(|range| {
                let mut range = parts(range, ';').map(|part| part.trim().to_ascii_lowercase());
                let essence = range.next().unwrap_or_default();
                (essence, range.any(|parameter| is_zero_weight(&parameter)))
            })
            .filter(|(essence, _)| !essence.is_empty())
            .peekable();
        if accepts.peek().is_none() {
            return Ok(wanted);
        }
        let mut json = false;
        for (essence, unwanted) in accepts {
            match essence.as_str() {
                _ if unwanted => {}
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

/// The elements of a list that may be spread over several headers.
fn elements<'a>(values: GetAll<'a, HeaderValue>) -> impl Iterator<Item = &'a str> {
    let readable = values.iter().filter_map(|value| value.to_str().ok());
    readable.flat_map(|value| parts(value, ','))
}

/// What stands between separators. Within a quoted string nothing separates.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        if escaped {
            escaped = false;
        } else if quoted {
            escaped = character == '\\';
            quoted = character != '"';
        } else {
            quoted = character == '"';
            return character == separator;
        }
        false
    })
}

/// Whether a parameter in lower case says that its range is not acceptable.
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter
        .split_once('=')
        .filter(|(name, _)| name.trim() == "q");
    weight.is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0_f32))
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
        assert_eq!(
            of(&[("prefer", "wait=soon, wait=\"2\", wait=3")])
                .unwrap()
                .wait,
            Some(Duration::from_secs(2))
        );
        let note = r#"note="a, respond-async, \", wait=3"; x, return=minimal"#;
        assert_eq!(of(&[("prefer", note)]), of(&[]));
    }

    #[test]
    fn what_is_acceptable_is_read() {
        assert!(of(&[("accept", "text/event-stream")]).unwrap().events);
        assert!(
            !of(&[("accept", "application/json;q=0.9, */*")])
                .unwrap()
                .events
        );
        let json = of(&[("accept", "application/json, text/event-stream; Q=0.0")]);
        assert!(!json.unwrap().events);
        for none in ["image/png", "*/*;q=0", "x/y; z=\", */*\""] {
            assert!(of(&[("accept", none)]).is_err(), "{none}");
        }
    }
}
