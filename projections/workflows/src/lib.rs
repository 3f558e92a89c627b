//! Workflows and their steps.
