//! Deduplicates, caches and announces contexts.
