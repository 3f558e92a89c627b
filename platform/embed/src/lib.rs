//! Text embeddings.
//!
//! [`HashedNgrams`] needs no model file and gives the same vector on every
//! machine: it counts the word and character n-grams of a text and hashes them
//! into a vector of fixed length. It sees wording, not meaning. How its cosine
//! behaves around the threshold of 0.95, over support tickets of a few sentences:
//!
//! | two texts | cosine |
//! |---|---|
//! | the same but for case, punctuation, white space | 1.00 |
//! | a word put in or exchanged, one typo | 0.96 – 0.99 |
//! | one digit of a number changed | 0.96 – 0.99, so the merge guard must look |
//! | a short sentence added | 0.94 |
//! | one sentence added for each there was | 0.82 |
//! | the same template, filled in for another matter | 0.86 |
//! | half of the sentences said in other words | 0.65 |
//! | another matter of the same kind | 0.41 |
//! | nothing in common but the language | 0.19 |
//!
//! The shorter the text, the more one changed word weighs: in a single sentence of
//! nine words a typo brings it down to 0.86. The threshold errs on the side of
//! keeping apart. The tests hold the model to this table.

mod features;
mod hashed;

pub use hashed::HashedNgrams;

/// Turns text into a direction in space; near directions mean near texts.
pub trait Embedder: Send + Sync {
    /// How many numbers a vector has.
    fn dimensions(&self) -> usize;

    /// `sha256:` and the digest of the model and its parameters. Vectors can be
    /// compared only under the same digest.
    fn model_digest(&self) -> &str;

    /// A vector of length one; all zeros when there is nothing in the text.
    fn embed(&self, text: &str) -> Vec<f32>;
}

/// The cosine of the angle between two vectors; 0 when one has no direction.
pub fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum()
    };
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    if lengths == 0.0 {
        0.0
    } else {
        dot(one, other) / lengths
    }
}
