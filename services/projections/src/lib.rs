//! Runs every read model.
