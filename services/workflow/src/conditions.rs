//! Compiled expressions, kept by their text.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain_workflow::Expression;

/// Expressions kept; beyond that all are forgotten and compiled again as needed.
const KEPT: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Expressions {
    compiled: Mutex<HashMap<String, Arc<platform_cel::Expression>>>,
}

impl Expressions {
    pub(crate) fn get(
        &self,
        expression: &Expression,
    ) -> Result<Arc<platform_cel::Expression>, platform_cel::Error> {
        let source = &expression.0;
        if let Some(known) = self.lock().get(source) {
            return Ok(Arc::clone(known));
        }
        let compiled = Arc::new(platform_cel::Expression::compile(source)?);
        let mut kept = self.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(source.clone(), Arc::clone(&compiled));
        Ok(compiled)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<platform_cel::Expression>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
