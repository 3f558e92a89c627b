use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program, extensions};

use crate::{Error, json};

/// Bytes an expression may have. Conditions and mappings are lines, not programs.
pub const MAX_LENGTH: usize = 4_096;

/// Characters of an evaluator's message that are kept: it may quote values.
const MESSAGE_LIMIT: usize = 240;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    for extension in [extensions::strings, extensions::math, extensions::lists] {
        // The extensions do not declare the same name twice; should a version of
        // the library come to, the later one is left out and its functions are
        // reported as undeclared where they are used.
        let _ = env.add_extension(extension);
    }
    Arc::new(env)
});

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    source: String,
    program: Program,
}

impl Expression {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`Error::TooLong`] and [`Error::Parse`].
    pub fn compile(source: &str) -> Result<Self, Error> {
        if source.len() > MAX_LENGTH {
            return Err(Error::TooLong { limit: MAX_LENGTH });
        }
        let program = catch_unwind(|| ENVIRONMENT.compile(source))
            .map_err(|_| Error::Internal)?
            .map_err(|errors| Error::Parse {
                message: short(&errors.to_string()),
            })?;
        Ok(Self {
            source: source.to_owned(),
            program,
        })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the variables it looks at, each once, sorted. Variables of
    /// its own comprehensions are among them.
    pub fn variables(&self) -> Vec<String> {
        let references = self.program.references();
        let mut names: Vec<String> = references
            .variables()
            .into_iter()
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Its value when `variables`, an object, holds a member for each variable.
    ///
    /// # Errors
    /// When it has none, or none that JSON can hold.
    pub fn evaluate(&self, variables: &serde_json::Value) -> Result<serde_json::Value, Error> {
        let members = variables.as_object().ok_or(Error::Variables)?;
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, value) in members {
            context.add_variable_from_value(name.as_str(), json::to_cel(value));
        }
        let value = catch_unwind(AssertUnwindSafe(|| self.program.execute(&context)))
            .map_err(|_| Error::Internal)?
            .map_err(|error| Error::Evaluate {
                message: short(&error.to_string()),
            })?;
        json::from_cel(&value)
    }

    /// Its value, which must be a boolean.
    ///
    /// # Errors
    /// Those of [`evaluate`](Self::evaluate), and [`Error::Type`].
    pub fn evaluate_bool(&self, variables: &serde_json::Value) -> Result<bool, Error> {
        match self.evaluate(variables)? {
            serde_json::Value::Bool(value) => Ok(value),
            other => Err(Error::Type {
                expected: "a boolean",
                found: json::kind(&other),
            }),
        }
    }

    /// Its value, which must be a string.
    ///
    /// # Errors
    /// Those of [`evaluate`](Self::evaluate), and [`Error::Type`].
    pub fn evaluate_string(&self, variables: &serde_json::Value) -> Result<String, Error> {
        match self.evaluate(variables)? {
            serde_json::Value::String(value) => Ok(value),
            other => Err(Error::Type {
                expected: "a string",
                found: json::kind(&other),
            }),
        }
    }
}

fn short(message: &str) -> String {
    match message.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}
