//! Effects and their outcomes.
