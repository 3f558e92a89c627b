use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bundle::{convert, is_ours, reference};
use crate::{Bundle, Error};

/// The engine and its version, as recorded with each decision.
pub const ENGINE: &str = "regorus 0.14.1";

/// How many bundles one thread keeps ready. Beyond that it starts afresh, which
/// costs a clone a bundle.
const READY_BUNDLES: usize = 64;
/// How often a thread is asked of a bundle before it compiles its own.
const WORTH_COMPILING: u32 = 50;

thread_local! {
    static READY: RefCell<HashMap<String, Ready>> = RefCell::new(HashMap::new());
}

/// A bundle of one thread.
struct Ready {
    pristine: regorus::Engine,
    engine: regorus::Engine,
    asked: u32,
}

/// Evaluates questions. Each thread works on its own copy of a bundle. The first
/// is a clone, which shares the syntax tree and the data, and every evaluation
/// changes their counts of references: cores wait for one another. So one that is
/// asked again and again is compiled for the thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Engine;

/// The answer to one question.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// None when the rule was undefined, which means deny.
    pub result: Option<Value>,
    pub duration: Duration,
}

impl Engine {
    /// What `bundle` says at `path` (`mesh/ingest`, a rule or a package) about `input`.
    ///
    /// # Errors
    /// When the path is none, the input does not convert, or the evaluation
    /// fails: a conflict, a builtin error, or too long a time. All mean deny.
    pub fn evaluate(bundle: &Bundle, path: &str, input: &Value) -> Result<Evaluation, Error> {
        let query = query(path)?;
        if is_ours(&query) {
            return Ok(Evaluation {
                result: None,
                duration: Duration::ZERO,
            });
        }
        READY.with_borrow_mut(|ready| {
            if ready.len() >= READY_BUNDLES && !ready.contains_key(bundle.digest()) {
                ready.clear();
            }
            ready
                .entry(bundle.digest().to_owned())
                .or_insert_with(|| Ready::new(bundle.engine()))
                .evaluate(bundle, path, query, input)
        })
    }
}

impl Ready {
    fn new(pristine: regorus::Engine) -> Self {
        Self {
            engine: pristine.clone(),
            pristine,
            asked: 0,
        }
    }

    fn evaluate(
        &mut self,
        bundle: &Bundle,
        path: &str,
        query: String,
        input: &Value,
    ) -> Result<Evaluation, Error> {
        self.asked = self.asked.saturating_add(1);
        if self.asked == WORTH_COMPILING
            && let Ok(own) = bundle.compile()
        {
            self.engine = own.clone();
            self.pristine = own;
        }
        let started = Instant::now();
        let failed = |reason: String| Error::Evaluation {
            path: path.to_owned(),
            reason,
        };
        let input = convert(input).map_err(|reason| Error::Input { reason })?;
        self.engine.set_input(input);
        let value = match bundle.rule(&query) {
            Some(rule) => self.engine.eval_rule(rule.clone()),
            None => self.engine.eval_query(query, false).map(only_value),
        };
        // What was asked does not outlive the answer, nor does a failure.
        self.engine.set_input(regorus::Value::Undefined);
        let value = value.map_err(|error| {
            self.engine.clone_from(&self.pristine);
            failed(error.to_string())
        })?;
        let value = (value != regorus::Value::Undefined).then_some(value);
        let result = value
            .map(serde_json::to_value)
            .transpose()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Evaluation {
            result,
            duration: started.elapsed(),
        })
    }
}

/// The value of the one expression of a query.
fn only_value(results: regorus::QueryResults) -> regorus::Value {
    let row = results.result.into_iter().next();
    let expression = row.and_then(|row| row.expressions.into_iter().next());
    expression.map_or(regorus::Value::Undefined, |expression| expression.value)
}

/// `data["mesh"]["ingest"]` for `mesh/ingest`.
fn query(path: &str) -> Result<String, Error> {
    let bad = |segment: &str| segment.is_empty() || segment.chars().any(char::is_control);
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    if trimmed.len() > 256 || trimmed.split('/').any(bad) {
        return Err(Error::Path {
            path: path.to_owned(),
        });
    }
    Ok(reference(trimmed.split('/')))
}
