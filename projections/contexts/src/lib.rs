//! Contexts and their merges.
