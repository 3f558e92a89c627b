//! Runners for projections, deciders and executors.
