use sha2::{Digest, Sha256};

use crate::{Embedder, features};

/// Vectors of this length keep chance agreement of unrelated texts below 0.1 and
/// cost 2 KiB each.
const DIMENSIONS: usize = 512;

/// Feature hashing over word and character n-grams.
#[derive(Debug, Clone)]
pub struct HashedNgrams {
    dimensions: usize,
    model_digest: String,
}

impl Default for HashedNgrams {
    fn default() -> Self {
        Self::new(DIMENSIONS)
    }
}

impl HashedNgrams {
    fn new(dimensions: usize) -> Self {
        let description = format!(
            "agentmesh hashed n-grams 1: {dimensions} dimensions, {}",
            features::description()
        );
        let digest = Sha256::digest(description.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            dimensions,
            model_digest: format!("sha256:{hex}"),
        }
    }
}

impl Embedder for HashedNgrams {
    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn model_digest(&self) -> &str {
        &self.model_digest
    }

    fn embed(&self, text: &str) -> Vec<f32> {
        let mut sums = vec![0.0_f64; self.dimensions];
        let buckets = self.dimensions as u64;
        for (hash, weight) in features::weighted(text) {
            // One bit decides the sign, so that collisions cancel out on average.
            let signed = if hash >> 63 == 0 { weight } else { -weight };
            let bucket = usize::try_from((hash & (u64::MAX >> 1)) % buckets).unwrap_or_default();
            sums[bucket] += signed;
        }
        let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        if length == 0.0 {
            return vec![0.0; self.dimensions];
        }
        #[allow(clippy::cast_possible_truncation)]
        sums.into_iter().map(|sum| (sum / length) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosine;

    const TICKET: &str = "Refund for order 4711. I was charged 129.90 EUR twice for order 4711 \
        on Monday. Please refund the second charge as soon as possible, my bank account is \
        overdrawn because of it. Kind regards, Ada";

    fn near(one: &str, other: &str) -> f64 {
        let model = HashedNgrams::default();
        cosine(&model.embed(one), &model.embed(other))
    }

    #[test]
    fn vectors_have_length_one_or_none() {
        let model = HashedNgrams::default();
        let length = |text| cosine_length(&model.embed(text));
        assert!((length(TICKET) - 1.0).abs() < 1e-5);
        assert!((length("退款") - 1.0).abs() < 1e-5);
        assert_eq!(length(" … "), 0.0);
        assert_eq!(model.embed("x").len(), model.dimensions());
    }

    fn cosine_length(vector: &[f32]) -> f64 {
        vector
            .iter()
            .map(|x| f64::from(*x) * f64::from(*x))
            .sum::<f64>()
            .sqrt()
    }

    #[test]
    fn case_punctuation_and_white_space_do_not_count() {
        let other = TICKET.to_uppercase().replace(". ", "!\n\n  ");
        assert!(near(TICKET, &other) > 0.9999);
    }

    #[test]
    fn near_identical_tickets_come_above_the_threshold() {
        for (from, to) in [
            ("Please refund", "Please kindly refund"),
            ("possible", "posible"),
            ("on Monday", "last Monday"),
            ("Kind regards", "Best regards"),
            ("the second charge", "the second one"),
            ("order 4711 \u{20}", "order 4711"),
        ] {
            let cosine = near(TICKET, &TICKET.replace(from, to));
            assert!(cosine > 0.95, "{from} → {to}: {cosine}");
        }
        // A changed digit is near as well: this is what the guard is for.
        assert!(near(TICKET, &TICKET.replace("129.90", "129.80")) > 0.95);
    }

    #[test]
    fn short_tickets_that_differ_in_little_come_above_the_threshold() {
        let one = "Refund for order 4711\nI was charged 129.90 EUR twice for order 4711, \
                   please refund one of the charges.";
        let other = "Refund for order 4711\nI was charged 129.90 EUR twice for order 4711. \
                     Please refund one of the charges!";
        assert!(near(one, other) > 0.95);
        let other = "Refund for order 4711\nI was charged 129.90 EUR twice for order 4711, \
                     please refund one of the charges. Thanks";
        let cosine = near(one, other);
        assert!(cosine > 0.95, "{cosine}");
    }

    #[test]
    fn what_says_more_or_something_else_comes_well_below() {
        let more = format!(
            "{TICKET} Also the parcel arrived damaged, the lid of the blue teapot is broken and \
             I would like to have a replacement sent to my new address in Potsdam."
        );
        assert!(near(TICKET, &more) < 0.93, "{}", near(TICKET, &more));
        let template = "Refund for order 812. The parcel arrived damaged on Friday. Please \
            send a replacement to my new address, I have moved. Kind regards, Charles";
        assert!(near(TICKET, template) < 0.8, "{}", near(TICKET, template));
        let unrelated = "Our single sign-on stopped working after the certificate was rotated; \
            nobody in the Lisbon office can log in.";
        assert!(near(TICKET, unrelated) < 0.4, "{}", near(TICKET, unrelated));
        let foreign = "Die Rechnung für den Monat Mai fehlt noch in unserem Portal.";
        assert!(near(TICKET, foreign) < 0.2, "{}", near(TICKET, foreign));
    }

    #[test]
    fn word_order_counts() {
        assert!(near("Ada owes Bob money", "Bob owes Ada money") < 0.99);
    }

    #[test]
    fn the_model_never_changes_unnoticed() {
        // Recorded in events: a change of the model is a new digest, and these
        // figures are the same on every machine.
        let model = HashedNgrams::default();
        let digest = Sha256::digest(
            model
                .embed(TICKET)
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect::<Vec<_>>(),
        );
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (model.model_digest(), hex.as_str()),
            (
                "sha256:69f029be52e6c3fcc6de2be2d54d3c9858508e9ea4a189a99c89126187398c3b",
                "d4c5d432a6dbdf1dcfdc05c606d65f1422f3c07145fe1e624f9c273e2be9c328"
            )
        );
    }
}
