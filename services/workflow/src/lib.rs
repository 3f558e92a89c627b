//! Runs workflow definitions as sagas.
