use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
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

/// The package of our own that has a rule for each package of the bundle. To
/// evaluate a rule by its name is less work than to evaluate a query, which is
/// text to parse and analyse; but a package is not a rule.
const WHOLE: &str = "agentmesh_whole_packages";

/// Modules and data, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Bundle {
    inner: Arc<Inner>,
}

struct Inner {
    digest: String,
    source: Source,
    compiled: Compiled,
}

struct Source {
    modules: Vec<(String, String)>,
    data: Value,
}

struct Compiled {
    engine: regorus::Engine,
    packages: BTreeSet<String>,
    /// The rule of [`WHOLE`] that evaluates a package, by the query for it.
    rules: HashMap<String, String>,
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
        let source = Source { modules, data };
        let compiled = source.compile()?;
        Ok(Self {
            inner: Arc::new(Inner {
                digest,
                source,
                compiled,
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
            .compiled
            .packages
            .iter()
            .any(|package| *package == name || name.starts_with(&format!("{package}.")))
    }

    /// The rule that says the same as `query`, if that asks for a package.
    pub(crate) fn rule(&self, query: &str) -> Option<&String> {
        self.inner.compiled.rules.get(query)
    }

    /// A copy of the prepared engine for one thread.
    pub(crate) fn engine(&self) -> regorus::Engine {
        self.inner.compiled.engine.clone()
    }

    /// An engine that shares nothing with the others.
    ///
    /// # Errors
    /// None that [`Bundle::new`] has not found.
    pub(crate) fn compile(&self) -> Result<regorus::Engine, Error> {
        Ok(self.inner.source.compile()?.engine)
    }
}

impl Source {
    fn compile(&self) -> Result<Compiled, Error> {
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
        for (name, text) in &self.modules {
            if !names.insert(name) {
                return Err(Error::DuplicateModule {
                    module: name.clone(),
                });
            }
            let package = engine
                .add_policy(name.clone(), text.clone())
                .map_err(|error| Error::Module {
                    module: name.clone(),
                    reason: error.to_string(),
                })?;
            packages.insert(package);
        }
        let rules = rules_for_packages(&mut engine)?;
        engine
            .add_data(convert(&self.data).map_err(|reason| Error::Data { reason })?)
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
        Ok(Compiled {
            engine,
            packages,
            rules,
        })
    }
}

/// Adds the module with a rule for each package, and returns the names of the
/// rules by the queries they stand for.
fn rules_for_packages(engine: &mut regorus::Engine) -> Result<HashMap<String, String>, Error> {
    let bad = |reason: String| Error::Bundle { reason };
    let declared = engine.get_policy_package_components();
    let mut module = format!("package {WHOLE}\n");
    let mut rules = HashMap::new();
    for package in declared.map_err(|error| bad(error.to_string()))? {
        if package.components.first().is_some_and(|root| root == WHOLE) {
            return Err(Error::Module {
                module: package.source_file,
                reason: format!("the package {WHOLE} is reserved"),
            });
        }
        let query = reference(package.components.iter().map(String::as_str));
        let number = rules.len();
        if let Entry::Vacant(entry) = rules.entry(query) {
            module.push_str(&format!("package_{number} := {}\n", entry.key()));
            entry.insert(format!("data.{WHOLE}.package_{number}"));
        }
    }
    engine
        .add_policy(WHOLE.to_owned(), module)
        .map_err(|error| bad(error.to_string()))?;
    Ok(rules)
}

/// Whether a query asks for what is only there to answer others.
pub(crate) fn is_ours(query: &str) -> bool {
    let Some(named) = query.strip_prefix("data[\"") else {
        return false;
    };
    named
        .strip_prefix(WHOLE)
        .is_some_and(|rest| rest.starts_with("\"]"))
}

/// `data["mesh"]["ingest"]`. Segments are quoted, so that they can name
/// anything but be nothing else than a reference.
pub(crate) fn reference<'a>(segments: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::with_capacity(64);
    text.push_str("data");
    for segment in segments {
        text.push('[');
        if segment.bytes().all(is_plain) {
            text.push('"');
            text.push_str(segment);
            text.push('"');
        } else {
            text.push_str(&Value::from(segment).to_string());
        }
        text.push(']');
    }
    text
}

/// Whether it stands in a JSON text as it is; most names are all of these, and
/// each question to policy names two.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Converts without losing anything: the conversion regorus offers turns what
/// it cannot represent into undefined.
pub(crate) fn convert(value: &Value) -> Result<regorus::Value, String> {
    regorus::Value::deserialize(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_quoted_as_json_quotes_them() {
        for segment in ["mesh", "a-b_c.d1", "", "a b", "\"", "\\", "é", "a\"]b"] {
            let expected = format!("data[{}]", Value::from(segment));
            assert_eq!(reference([segment].into_iter()), expected);
        }
        assert_eq!(
            reference(["mesh", "ingest"].into_iter()),
            r#"data["mesh"]["ingest"]"#
        );
    }

    #[test]
    fn what_is_ours_is_known_by_its_first_segment() {
        assert!(is_ours(&reference([WHOLE].into_iter())));
        assert!(is_ours(&reference([WHOLE, "package_0"].into_iter())));
        let longer = format!("{WHOLE}2");
        assert!(!is_ours(&reference([longer.as_str()].into_iter())));
        assert!(!is_ours(&reference(["mesh", WHOLE].into_iter())));
    }
}
