use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bundle::{convert, is_ours, reference};
use crate::{Bundle, Error};

/// The engine and its version, as recorded with each decision.
pub const ENGINE: &str = "regorus 0.14.1";

/// How many bundles one thread keeps ready. One more takes the place of another,
/// which is compiled again when it is asked.
const READY_BUNDLES: usize = 64;

thread_local! {
    static READY: RefCell<HashMap<String, Ready>> = RefCell::new(HashMap::new());
}

/// A bundle of one thread.
struct Ready {
    pristine: regorus::Engine,
    engine: regorus::Engine,
}

/// Evaluates questions. Each thread compiles its own copy of a bundle, so that
/// threads do not wait for one another.
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
        let started = Instant::now();
        let query = query(path)?;
        if is_ours(&query) {
            return Ok(Evaluation {
                result: None,
                duration: started.elapsed(),
            });
        }
        let input = convert(input).map_err(|reason| Error::Input { reason })?;
        let value = READY.with_borrow_mut(|ready| {
            let Ready { pristine, engine } = prepared(ready, bundle)?;
            engine.set_input(input);
            let value = match bundle.rule(&query) {
                Some(rule) => engine.eval_rule(rule.clone()),
                None => engine.eval_query(query, false).map(only_value),
            };
            // What was asked does not outlive the answer, nor does a failure.
            engine.set_input(regorus::Value::Undefined);
            value.map_err(|error| {
                engine.clone_from(pristine);
                Error::Evaluation {
                    path: path.to_owned(),
                    reason: error.to_string(),
                }
            })
        })?;
        let value = (value != regorus::Value::Undefined).then_some(value);
        let result = value
            .map(serde_json::to_value)
            .transpose()
            .map_err(|error| Error::Evaluation {
                path: path.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Evaluation {
            result,
            duration: started.elapsed(),
        })
    }
}

/// The copy of this thread.
fn prepared<'a>(
    ready: &'a mut HashMap<String, Ready>,
    bundle: &Bundle,
) -> Result<&'a mut Ready, Error> {
    if ready.len() >= READY_BUNDLES
        && !ready.contains_key(bundle.digest())
        && let Some(other) = ready.keys().next().cloned()
    {
        ready.remove(&other);
    }
    match ready.entry(bundle.digest().to_owned()) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => {
            let pristine = bundle.engine()?;
            let engine = pristine.clone();
            Ok(entry.insert(Ready { pristine, engine }))
        }
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
