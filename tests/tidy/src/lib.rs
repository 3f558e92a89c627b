//! Layering, file length and folder shape.
