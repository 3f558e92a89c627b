use super::fields::Fields;

/// What a caller may be allowed to do; `*` is all of it.
pub(super) const SCOPES: [&str; 7] = [
    "invoke",
    "read",
    "contexts:read",
    "policy:decide",
    "registry:read",
    "registry:write",
    "*",
];

/// The field `scopes`: at least one, each known, none twice.
pub(super) fn read(fields: &mut Fields<'_>) -> Vec<String> {
    let scopes = fields.texts("scopes");
    if scopes.is_empty() {
        fields.issue("scopes", "must have at least one scope");
    }
    for (index, scope) in scopes.iter().enumerate() {
        let place = format!("scopes/{index}");
        if !SCOPES.contains(&scope.as_str()) {
            fields.issue(&place, format!("must be one of {}", SCOPES.join(", ")));
        } else if scopes[..index].contains(scope) {
            fields.issue(&place, "is named twice");
        }
    }
    scopes
}

const LONGEST_SUBJECT: usize = 128;

/// The field `subject`: a name that can stand in a header and a log line.
pub(super) fn subject(fields: &mut Fields<'_>) -> String {
    let subject = fields.text("subject");
    if subject.len() > LONGEST_SUBJECT || !subject.bytes().all(|byte| byte.is_ascii_graphic()) {
        fields.issue(
            "subject",
            "must be at most 128 printable ASCII characters without spaces",
        );
    }
    subject
}
