//! Black-box flows over separate processes.
