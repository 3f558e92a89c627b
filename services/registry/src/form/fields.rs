use serde_json::{Map, Value};

/// One thing wrong with a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issue {
    /// JSON pointer (RFC 6901) to the field.
    pub pointer: String,
    pub detail: String,
}

/// All that is wrong with a resource, found in one pass, so that its author
/// need not try again for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Issues(Vec<Issue>);

impl Issues {
    pub(crate) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Issue {
            pointer: pointer.into(),
            detail: detail.into(),
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Issue> {
        self.0.iter()
    }
}

/// Reads an object field by field, noting what is missing, of the wrong type,
/// or not known. A value that could not be read is replaced by an empty one; the
/// issue noted for it keeps the whole from being used.
pub(crate) struct Fields<'a> {
    values: Map<String, Value>,
    at: String,
    known: Vec<&'static str>,
    issues: &'a mut Issues,
}

impl<'a> Fields<'a> {
    /// `at` is the JSON pointer of the object itself, empty for the root.
    pub(crate) fn new(value: Value, at: &str, issues: &'a mut Issues) -> Self {
        let values = match value {
            Value::Object(values) => values,
            other => {
                issues.add(at, format!("must be an object, not {}", kind_of(&other)));
                Map::new()
            }
        };
        Self {
            values,
            at: at.to_owned(),
            known: Vec::new(),
            issues,
        }
    }

    pub(crate) fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    pub(crate) fn issue(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = self.pointer(name);
        self.issues.add(pointer, detail);
    }

    /// Where issues of what a field contains are noted.
    pub(crate) fn issues(&mut self) -> &mut Issues {
        self.issues
    }

    /// The value of a field; none when it is absent or null.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.values.remove(name).filter(|value| !value.is_null())
    }

    pub(crate) fn required(&mut self, name: &'static str) -> Option<Value> {
        let value = self.take(name);
        if value.is_none() {
            self.issue(name, "is required");
        }
        value
    }

    pub(crate) fn text(&mut self, name: &'static str) -> String {
        let value = self.required(name);
        self.as_text(name, value).unwrap_or_default()
    }

    pub(crate) fn optional_text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name);
        self.as_text(name, value)
    }

    fn as_text(&mut self, name: &str, value: Option<Value>) -> Option<String> {
        match value? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::String(_) => {
                self.issue(name, "must not be empty");
                None
            }
            other => {
                self.issue(name, format!("must be a string, not {}", kind_of(&other)));
                None
            }
        }
    }

    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let mut texts = Vec::new();
        for (index, item) in self.items(name).into_iter().enumerate() {
            match item {
                Value::String(text) if !text.is_empty() => texts.push(text),
                other => {
                    let detail = format!("must be a string with content, not {}", kind_of(&other));
                    self.issue(&format!("{name}/{index}"), detail);
                }
            }
        }
        texts
    }

    /// The items of an array; empty when the field is absent.
    pub(crate) fn items(&mut self, name: &'static str) -> Vec<Value> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.issue(name, format!("must be an array, not {}", kind_of(&other)));
                Vec::new()
            }
        }
    }

    /// The members of an object, in order of their names; empty when absent.
    pub(crate) fn members(&mut self, name: &'static str) -> Vec<(String, Value)> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Object(members)) => {
                let mut members: Vec<_> = members.into_iter().collect();
                members.sort_by(|one, other| one.0.cmp(&other.0));
                members
            }
            Some(other) => {
                self.issue(name, format!("must be an object, not {}", kind_of(&other)));
                Vec::new()
            }
        }
    }

    /// A whole number within `range`, or `default` when absent.
    pub(crate) fn number(
        &mut self,
        name: &'static str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let Some(value) = self.take(name) else {
            return default;
        };
        match value.as_u64() {
            Some(number) if range.contains(&number) => number,
            _ => {
                let detail = format!(
                    "must be a whole number from {} to {}",
                    range.start(),
                    range.end()
                );
                self.issue(name, detail);
                default
            }
        }
    }

    /// Notes every field that nothing asked for.
    pub(crate) fn finish(mut self) {
        let known = self.known.join(", ");
        for (name, _) in std::mem::take(&mut self.values) {
            let name = name.replace('~', "~0").replace('/', "~1");
            self.issue(&name, format!("is not known here; known are: {known}"));
        }
    }
}

/// What a value is, without showing it: it may be a secret in the wrong place.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_issue_is_found_and_points_at_its_field() {
        let mut issues = Issues::default();
        let mut fields = Fields::new(
            json!({"a": 5, "list": ["x", 1], "n": -3, "more/of": true, "null": null}),
            "/root",
            &mut issues,
        );
        assert_eq!(fields.text("a"), "");
        assert_eq!(fields.text("b"), "");
        assert_eq!(fields.texts("list"), ["x"]);
        assert_eq!(fields.number("n", 7, 1..=9), 7);
        assert_eq!(fields.optional_text("null"), None);
        fields.finish();
        let pointers: Vec<_> = issues.iter().map(|issue| issue.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/root/a",
                "/root/b",
                "/root/list/1",
                "/root/n",
                "/root/more~1of"
            ]
        );
    }

    #[test]
    fn values_are_never_shown() {
        let mut issues = Issues::default();
        let mut fields = Fields::new(json!({"n": "hunter2", "o": "hunter2"}), "", &mut issues);
        fields.number("n", 1, 1..=2);
        fields.members("o");
        fields.finish();
        assert!(!format!("{issues:?}").contains("hunter2"));
    }
}
