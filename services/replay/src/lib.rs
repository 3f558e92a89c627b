//! Rebuilds and compares read models.
