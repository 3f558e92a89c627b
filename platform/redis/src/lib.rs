//! Redis: client and key prefix.
