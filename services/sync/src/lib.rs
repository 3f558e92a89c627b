//! Writes to systems of record and attests the outcome.
