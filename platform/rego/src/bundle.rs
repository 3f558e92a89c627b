use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use serde::Deserialize as _;
use serde_json::Value;

use crate::Error;
use crate::digest::digest;

/// How long one evaluation may take. Input comes from outside, and a policy
/// that is slow on it must not hold up the gateway.
const EVALUATION_LIMIT: Duration = Duration::from_millis(250);

/// Modules and data, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Bundle {
    inner: Arc<Inner>,
}

struct Inner {
    digest: String,
    packages: Vec<String>,
    engine: regorus::Engine,
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bundle")
            .field("digest", &self.inner.digest)
            .finish_non_exhaustive()
    }
}

impl Bundle {
    /// Compiles `modules` (file name and Rego v1 text) over `data`, a JSON object.
    ///
    /// # Errors
    /// When a module does not parse, two have one name, the rules do not fit
    /// together, or the data is no object.
    pub fn new(modules: Vec<(String, String)>, data: Value) -> Result<Self, Error> {
        let digest = digest(&modules, &data);
        let mut engine = regorus::Engine::new();
        // A failing builtin is an error rather than undefined: a `deny` rule
        // that silently does not fire would let something through.
        engine.set_strict_builtin_errors(true);
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: EVALUATION_LIMIT,
            check_interval: NonZeroU32::MIN.saturating_add(255),
        });

        let mut names = BTreeSet::new();
        let mut packages = BTreeSet::new();
        for (name, text) in modules {
            if !names.insert(name.clone()) {
                return Err(Error::DuplicateModule { module: name });
            }
            let package = engine
                .add_policy(name.clone(), text)
                .map_err(|error| Error::Module {
                    module: name,
                    reason: error.to_string(),
                })?;
            packages.insert(package);
        }
        engine
            .add_data(convert(&data).map_err(|reason| Error::Data { reason })?)
            .map_err(|error| Error::Data {
                reason: error.to_string(),
            })?;
        // Evaluating anything makes regorus analyse and schedule all modules,
        // which finds what does not fit together and is then shared by clones.
        engine
            .eval_query("true".to_owned(), false)
            .map_err(|error| Error::Bundle {
                reason: error.to_string(),
            })?;
        Ok(Self {
            inner: Arc::new(Inner {
                digest,
                packages: packages.into_iter().collect(),
                engine,
            }),
        })
    }

    /// `sha256:` and the lowercase hexadecimal digest of modules and data.
    pub fn digest(&self) -> &str {
        &self.inner.digest
    }

    /// Whether a module declares the package or a rule at `path`, such as
    /// `mesh/ingest`. What is not defined is undefined, which means deny.
    pub fn defines(&self, path: &str) -> bool {
        let name = format!("data.{}", path.trim_matches('/').replace('/', "."));
        self.inner
            .packages
            .iter()
            .any(|package| *package == name || name.starts_with(&format!("{package}.")))
    }

    /// A copy of the prepared engine for one thread.
    pub(crate) fn engine(&self) -> regorus::Engine {
        self.inner.engine.clone()
    }
}

/// Converts without losing anything: the conversion regorus offers turns what
/// it cannot represent into undefined.
pub(crate) fn convert(value: &Value) -> Result<regorus::Value, String> {
    regorus::Value::deserialize(value).map_err(|error| error.to_string())
}
