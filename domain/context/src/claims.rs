use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::words;

/// What a text states that its wording hardly shows: one digit or one "not"
/// changes the meaning and almost nothing of an embedding. Two texts may only be
/// taken for the same when their claims are equal.
///
/// Claims keep their order, because "from 10 to 20" is not "from 20 to 10".
/// Every doubt is settled towards *different*: two contexts kept apart cost a
/// little attention, two merged by mistake lose one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Numbers and number words, with the currency or unit beside them.
    pub numbers: Vec<String>,
    /// Words with digits in them, addresses, links.
    pub identifiers: Vec<String>,
    /// Each negation with the word it stands before.
    pub negations: Vec<String>,
    /// Numbers and truth values of the content's fields, by JSON pointer.
    pub figures: BTreeMap<String, Figure>,
}

/// A field of the content that states something by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Figure {
    Truth(bool),
    Number(String),
}

impl Claims {
    /// The claims of a text in any language the lists in `words` know; numbers
    /// and identifiers are found in all of them.
    pub fn of_text(text: &str) -> Self {
        let tokens = words::tokens(text);
        let mut claims = Self::default();
        let mut position = 0;
        while let Some(token) = tokens.get(position) {
            let next = tokens.get(position + 1).copied();
            let lower = token.to_lowercase();
            if let Some(number) = words::number(token) {
                match next.filter(|next| words::is_unit(next)) {
                    Some(unit) => {
                        claims
                            .numbers
                            .push(format!("{number} {}", unit.to_lowercase()));
                        position += 1;
                    }
                    None => claims.numbers.push(number),
                }
            } else if let (true, Some(number)) =
                (words::is_unit(token), next.and_then(words::number))
            {
                claims.numbers.push(format!("{number} {lower}"));
                position += 1;
            } else if words::is_number_word(&lower) {
                claims.numbers.push(lower);
            } else if words::is_identifier(token) {
                claims.identifiers.push(lower);
            } else if words::is_negation(&lower) {
                let negated = next.unwrap_or_default().to_lowercase();
                claims.negations.push(negated);
            }
            position += 1;
        }
        claims
    }

    /// Adds the figures found in the fields of the content.
    #[must_use]
    pub fn with_figures(mut self, figures: impl IntoIterator<Item = (String, Figure)>) -> Self {
        self.figures.extend(figures);
        self
    }

    /// The fields whose figures are numbers.
    pub(crate) fn number_fields(&self) -> impl Iterator<Item = (&String, &Figure)> {
        self.figures
            .iter()
            .filter(|(_, figure)| matches!(figure, Figure::Number(_)))
    }

    /// The fields whose figures are truth values.
    pub(crate) fn truth_fields(&self) -> impl Iterator<Item = (&String, &Figure)> {
        self.figures
            .iter()
            .filter(|(_, figure)| matches!(figure, Figure::Truth(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_the_same_however_it_is_written() {
        for text in ["129.90 EUR", "129,90 EUR", "EUR 129.9", "(129.90 eur)"] {
            assert_eq!(Claims::of_text(text).numbers, ["129.9 eur"], "{text}");
        }
        assert_eq!(Claims::of_text("1,299.00").numbers, ["1299"]);
        assert_eq!(Claims::of_text("1.299,00").numbers, ["1299"]);
    }

    #[test]
    fn an_amount_that_could_mean_two_things_equals_only_itself() {
        assert_ne!(
            Claims::of_text("1,299").numbers,
            Claims::of_text("1299").numbers
        );
        assert_ne!(
            Claims::of_text("1.299").numbers,
            Claims::of_text("1299").numbers
        );
    }

    #[test]
    fn currency_sign_and_unit_count() {
        let kinds = ["5 EUR", "5 USD", "€5", "$5", "5", "-5", "5 %", "5 percent"];
        for (i, one) in kinds.iter().enumerate() {
            for other in &kinds[i + 1..] {
                assert_ne!(
                    Claims::of_text(one).numbers,
                    Claims::of_text(other).numbers,
                    "{one} and {other}"
                );
            }
        }
    }

    #[test]
    fn order_numbers_addresses_and_links_are_identifiers() {
        let claims = Claims::of_text(
            "Order T-1001, ask Ada@Example.com or see https://example.com/orders (INV2024/7).",
        );
        assert_eq!(
            claims.identifiers,
            [
                "t-1001",
                "ada@example.com",
                "https://example.com/orders",
                "inv2024/7"
            ]
        );
        assert_eq!(Claims::of_text("order #4711").numbers, ["4711"]);
    }

    #[test]
    fn a_negation_is_bound_to_what_it_denies() {
        let refund = Claims::of_text("Do not cancel, refund it.");
        let cancel = Claims::of_text("Cancel, do not refund it.");
        assert_ne!(refund.negations, cancel.negations);
        assert_eq!(
            Claims::of_text("It doesn’t work").negations,
            Claims::of_text("It does not work").negations
        );
    }

    #[test]
    fn number_words_count() {
        assert_ne!(
            Claims::of_text("charged twice").numbers,
            Claims::of_text("charged once").numbers
        );
    }

    #[test]
    fn text_without_spaces_between_words_is_read_too() {
        let claims = Claims::of_text("订单4711没有退款");
        assert_eq!(claims.numbers, ["4711"]);
        assert_eq!(claims.negations.len(), 1);
    }

    #[test]
    fn nothing_is_claimed_by_nothing() {
        assert_eq!(Claims::of_text(""), Claims::default());
        assert_eq!(Claims::of_text(" … !? "), Claims::default());
    }
}
