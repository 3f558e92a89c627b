//! What of a text is counted.

use std::collections::BTreeMap;

/// Character n-grams have these lengths, over words with a space on each side.
const GRAMS: std::ops::RangeInclusive<usize> = 3..=4;

/// One kind of feature does not drown another: each count is weighed by its kind.
const WEIGHT_WORD: f64 = 1.0;
const WEIGHT_PAIR: f64 = 0.5;
const WEIGHT_GRAM: f64 = 0.7;

/// Everything above in words, so that a change of it changes the model's digest.
pub(crate) fn description() -> String {
    format!(
        "words {WEIGHT_WORD}, pairs {WEIGHT_PAIR}, character {}-{}-grams {WEIGHT_GRAM}, \
         square root of counts, fnv1a64 with splitmix64, signed",
        GRAMS.start(),
        GRAMS.end()
    )
}

/// Each feature's hash with its weight, in the order of the hashes, so that sums
/// over them come out the same everywhere.
pub(crate) fn weighted(text: &str) -> Vec<(u64, f64)> {
    let words = words(text);
    let mut counts: BTreeMap<u64, (u32, f64)> = BTreeMap::new();
    let mut count = |hash: u64, weight: f64| counts.entry(hash).or_insert((0, weight)).0 += 1;
    let mut padded: Vec<char> = Vec::new();
    for (i, word) in words.iter().enumerate() {
        count(hash("w", [word.as_str()]), WEIGHT_WORD);
        if let Some(next) = words.get(i + 1) {
            count(hash("p", [word.as_str(), next.as_str()]), WEIGHT_PAIR);
        }
        padded.clear();
        padded.push(' ');
        padded.extend(word.chars());
        padded.push(' ');
        for length in GRAMS {
            for gram in padded.windows(length) {
                count(hash_chars(gram), WEIGHT_GRAM);
            }
        }
    }
    // The square root damps repetition, and IEEE 754 fixes its last bit, which it
    // does not for a logarithm.
    counts
        .into_iter()
        .map(|(hash, (count, weight))| (hash, f64::from(count).sqrt() * weight))
        .collect()
}

/// Lowercase words. Whatever is neither letter nor digit divides them, but for a
/// combining mark, which belongs to its letter.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || (!word.is_empty() && is_combining(c)) {
            word.extend(c.to_lowercase());
        } else if matches!(c, '\'' | '’') && !word.is_empty() {
            // "don't" and "dont" are one word.
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn is_combining(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036f}' | '\u{1ab0}'..='\u{1aff}' | '\u{20d0}'..='\u{20ff}')
}

fn hash<'a>(kind: &str, parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash = fnv(FNV_OFFSET, kind.as_bytes());
    for part in parts {
        hash = fnv(fnv(hash, &[0]), part.as_bytes());
    }
    mix(hash)
}

fn hash_chars(gram: &[char]) -> u64 {
    let mut hash = fnv(fnv(FNV_OFFSET, b"c"), &[0]);
    let mut utf8 = [0; 4];
    for c in gram {
        hash = fnv(hash, c.encode_utf8(&mut utf8).as_bytes());
    }
    mix(hash)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Spreads what FNV leaves clustered over all bits.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_any_script() {
        assert_eq!(
            words("Ärger, ΣΊΣΥΦΟΣ & don't—И точка!"),
            ["ärger", "σίσυφοσ", "dont", "и", "точка"]
        );
    }

    #[test]
    fn hashes_never_change() {
        // Stored vectors depend on them.
        assert_eq!(fnv(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(mix(0), 0);
    }
}
