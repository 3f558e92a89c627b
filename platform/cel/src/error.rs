/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("expression is longer than {limit} bytes")]
    TooLong { limit: usize },
    /// The text is not CEL. The message points at the place.
    #[error("not a CEL expression: {message}")]
    Parse { message: String },
    /// It is CEL, but has no value for these variables: a missing key, a type
    /// that does not fit, a division by zero.
    #[error("expression cannot be evaluated: {message}")]
    Evaluate { message: String },
    #[error("variables are not a JSON object")]
    Variables,
    /// The value is of a kind JSON does not have, such as a type or NaN.
    #[error("the value of the expression is not JSON: {found}")]
    NotJson { found: &'static str },
    #[error("the value of the expression is {found}, not {expected}")]
    Type {
        expected: &'static str,
        found: &'static str,
    },
    /// The evaluator itself failed; the expression is to blame, not the process.
    #[error("the evaluator gave up on the expression")]
    Internal,
}
