//! The registry folded in memory.
