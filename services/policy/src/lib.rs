//! OPA's data API over the same engine.
