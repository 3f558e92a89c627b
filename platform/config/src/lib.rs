//! Settings: compiled-in defaults, then a file, then the environment.
