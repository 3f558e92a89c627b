use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::{Bundle, Error};

/// How many bundles are kept compiled. A deployment has one a tenant.
const CAPACITY: usize = 1024;

/// Compiled bundles by the owner's name and the version of what they were made
/// of. A bundle that does not compile is remembered as such, so that a broken
/// one costs one attempt and not one a request.
#[derive(Debug, Default)]
pub struct Bundles {
    compiled: Mutex<HashMap<String, Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    version: String,
    bundle: Result<Bundle, Error>,
}

impl Bundles {
    /// The bundle of `owner` (a tenant) at `version`; `material` is called when
    /// that version has not been compiled yet.
    ///
    /// # Errors
    /// When it does not compile.
    pub fn get(
        &self,
        owner: &str,
        version: &str,
        material: impl FnOnce() -> (Vec<(String, String)>, Value),
    ) -> Result<Bundle, Error> {
        if let Some(known) = self.lock().get(owner)
            && known.version == version
        {
            return known.bundle.clone();
        }
        // Compiled outside the lock: other tenants do not wait for it.
        let (modules, data) = material();
        let bundle = Bundle::new(modules, data);
        let mut compiled = self.lock();
        if compiled.len() >= CAPACITY && !compiled.contains_key(owner) {
            compiled.clear();
        }
        let known = Compiled {
            version: version.to_owned(),
            bundle: bundle.clone(),
        };
        compiled.insert(owner.to_owned(), known);
        bundle
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Compiled>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
