//! Deliveries by correlation id.
