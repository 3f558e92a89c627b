use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain_kernel::Timestamp;

/// When each key was last used, since this was last asked. Requests only note
/// it in memory; somebody writes it down now and then, so that using a key
/// costs no write.
#[derive(Debug, Clone, Default)]
pub struct Used(Arc<Mutex<HashMap<String, Timestamp>>>);

impl Used {
    pub(crate) fn note(&self, key_id: &str, at: Timestamp) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match used.get_mut(key_id) {
            Some(last) => *last = at,
            // Only registered keys get here, so this is bounded by their number.
            None => {
                used.insert(key_id.to_owned(), at);
            }
        }
    }

    /// What was used since the last call.
    pub fn take(&self) -> HashMap<String, Timestamp> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
