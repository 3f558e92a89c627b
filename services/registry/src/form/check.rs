//! Checks that several kinds of resources share.

use url::Url;

use super::fields::Fields;

const NAME_LENGTH: usize = 63;
const POINTER_LENGTH: usize = 512;
const URL_LENGTH: usize = 2_048;

/// Ids of resources, tenants and spaces: they become part of topics' keys,
/// addresses and file names.
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let outer = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    !bytes.is_empty()
        && bytes.len() <= NAME_LENGTH
        && bytes.iter().all(inner)
        && outer(bytes.first())
        && outer(bytes.last())
}

pub(crate) const NAME_RULE: &str =
    "must be 1 to 63 lowercase letters, digits and dashes, with no dash at either end";

/// A field that holds an id.
pub(crate) fn name(fields: &mut Fields<'_>, field: &'static str) -> String {
    let text = fields.text(field);
    if !text.is_empty() && !is_name(&text) {
        fields.issue(field, NAME_RULE);
    }
    text
}

/// A JSON pointer (RFC 6901): empty, or segments each after a slash, where a
/// tilde is only ever `~0` or `~1`.
pub(crate) fn is_pointer(text: &str) -> bool {
    if text.len() > POINTER_LENGTH || !(text.is_empty() || text.starts_with('/')) {
        return false;
    }
    let mut tildes = text.split('~');
    tildes.next();
    tildes.all(|after| after.starts_with(['0', '1']))
}

pub(crate) const POINTER_RULE: &str = "must be a JSON pointer such as /payload/customer/email";

pub(crate) fn optional_pointer(fields: &mut Fields<'_>, field: &'static str) -> Option<String> {
    let text = fields.optional_text(field)?;
    if !is_pointer(&text) {
        fields.issue(field, POINTER_RULE);
    }
    Some(text)
}

/// A field with an absolute http or https address that carries no credentials.
pub(crate) fn address(fields: &mut Fields<'_>, field: &'static str) -> String {
    let text = fields.text(field);
    if text.is_empty() {
        return text;
    }
    if let Some(wrong) = wrong_with_address(&text) {
        fields.issue(field, wrong);
    }
    text
}

fn wrong_with_address(text: &str) -> Option<&'static str> {
    if text.len() > URL_LENGTH {
        return Some("is too long for an address");
    }
    let Ok(url) = Url::parse(text) else {
        return Some("must be an absolute address such as https://example.com/mcp");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return Some("must be an http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must not carry a user name or a password");
    }
    if url.fragment().is_some() {
        return Some("must not have a fragment");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "zapier", "chatgpt-customer-support", "9", "a1-b2"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a_b",
            "a.b",
            "a/b",
            "ä",
            "a b",
            "../x",
            long.as_str(),
        ] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn pointers() {
        for good in ["", "/", "/a", "/a/0/b", "/a~0b~1c", "/ä"] {
            assert!(is_pointer(good), "{good}");
        }
        for bad in ["a", "a/b", "$.a", "/a~2", "/a~", "#/a"] {
            assert!(!is_pointer(bad), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        for good in ["http://127.0.0.1:3010/x/mcp", "https://api.hubapi.com"] {
            assert_eq!(wrong_with_address(good), None, "{good}");
        }
        for bad in [
            "",
            "api.hubapi.com",
            "/mcp",
            "ftp://example.com",
            "file:///etc/passwd",
            "https://ann:pw@example.com",
            "https://example.com/#x",
            "http://",
        ] {
            assert!(wrong_with_address(bad).is_some(), "{bad}");
        }
    }
}
