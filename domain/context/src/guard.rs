use domain_kernel::{ContextId, Space, TenantId};
use serde::{Deserialize, Serialize};

use crate::Claims;

/// The context that content of this digest makes, if nothing near it exists. So
/// an exact duplicate is found by its id, without any look-up.
pub fn context_id(
    tenant: &TenantId,
    space: &Space,
    kind: &str,
    subject: &str,
    content_sha256: &str,
) -> ContextId {
    ContextId::derive(&[
        tenant.as_str(),
        space.as_str(),
        kind,
        subject,
        content_sha256,
    ])
}

/// All that decides whether two texts may be taken for one, beside how near
/// their embeddings are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub tenant: TenantId,
    pub space: Space,
    pub kind: String,
    pub subject: String,
    /// The claims of the embedded text, and the figures of the content beside it.
    pub claims: Claims,
}

/// Why two contexts stay two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeptApart {
    TenantDiffers,
    SpaceDiffers,
    BelowThreshold,
    KindDiffers,
    SubjectDiffers,
    NumbersDiffer,
    IdentifiersDiffer,
    NegationDiffers,
}

impl KeptApart {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TenantDiffers => "tenant-differs",
            Self::SpaceDiffers => "space-differs",
            Self::BelowThreshold => "below-threshold",
            Self::KindDiffers => "kind-differs",
            Self::SubjectDiffers => "subject-differs",
            Self::NumbersDiffer => "numbers-differ",
            Self::IdentifiersDiffer => "identifiers-differ",
            Self::NegationDiffers => "negation-differs",
        }
    }
}

impl std::fmt::Display for KeptApart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why `one` may not be merged with `other`, or none when it may.
///
/// The guard looks at the embedded text, at the subject, and at the figures of
/// the content, which are the JSON numbers and truth values of fields that
/// neither name a record nor tell a time: an amount outside the text keeps two
/// contexts apart, a new ticket id or time stamp does not. Texts in other fields
/// are not compared, for they differ from one report of a thing to the next.
pub fn kept_apart(
    one: &Profile,
    other: &Profile,
    cosine: f64,
    threshold: f64,
) -> Option<KeptApart> {
    if one.tenant != other.tenant {
        return Some(KeptApart::TenantDiffers);
    }
    if one.space != other.space {
        return Some(KeptApart::SpaceDiffers);
    }
    // Written so that a cosine that is not a number is not near.
    if cosine.partial_cmp(&threshold) != Some(std::cmp::Ordering::Greater) {
        return Some(KeptApart::BelowThreshold);
    }
    if one.kind != other.kind {
        return Some(KeptApart::KindDiffers);
    }
    if one.subject != other.subject {
        return Some(KeptApart::SubjectDiffers);
    }
    claims_apart(&one.claims, &other.claims)
}

/// The part of the guard that concerns what is claimed.
pub(crate) fn claims_apart(one: &Claims, other: &Claims) -> Option<KeptApart> {
    if one.numbers != other.numbers || !one.number_fields().eq(other.number_fields()) {
        return Some(KeptApart::NumbersDiffer);
    }
    if one.identifiers != other.identifiers {
        return Some(KeptApart::IdentifiersDiffer);
    }
    if one.negations != other.negations || !one.truth_fields().eq(other.truth_fields()) {
        return Some(KeptApart::NegationDiffers);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Figure;

    fn profile(text: &str) -> Profile {
        Profile {
            tenant: TenantId::new("acme"),
            space: Space::new("support"),
            kind: "ticket".to_owned(),
            subject: "ada@example.com".to_owned(),
            claims: Claims::of_text(text),
        }
    }

    fn apart(one: &Profile, other: &Profile) -> Option<KeptApart> {
        kept_apart(one, other, 0.99, 0.95)
    }

    const TICKET: &str = "I was charged 129.90 EUR twice for order T-4711, please refund.";

    #[test]
    fn the_same_said_a_little_differently_may_merge() {
        let again = "I was charged 129.90 EUR twice for order T-4711! Please, refund";
        assert_eq!(apart(&profile(TICKET), &profile(again)), None);
    }

    #[test]
    fn another_amount_identifier_or_negation_keeps_apart() {
        let cases = [
            ("129.90", "129.91", KeptApart::NumbersDiffer),
            ("129.90", "-129.90", KeptApart::NumbersDiffer),
            ("EUR", "USD", KeptApart::NumbersDiffer),
            ("twice", "once", KeptApart::NumbersDiffer),
            ("T-4711", "T-4712", KeptApart::IdentifiersDiffer),
            ("please refund", "do not refund", KeptApart::NegationDiffers),
            ("was charged", "wasn't charged", KeptApart::NegationDiffers),
        ];
        for (from, to, why) in cases {
            let other = profile(&TICKET.replace(from, to));
            assert_eq!(apart(&profile(TICKET), &other), Some(why), "{from} → {to}");
            assert_eq!(apart(&other, &profile(TICKET)), Some(why), "{to} → {from}");
        }
    }

    #[test]
    fn another_compartment_keeps_apart() {
        let one = profile(TICKET);
        let other = |change: fn(&mut Profile)| {
            let mut other = one.clone();
            change(&mut other);
            apart(&one, &other)
        };
        assert_eq!(
            other(|p| p.tenant = TenantId::new("evil")),
            Some(KeptApart::TenantDiffers)
        );
        assert_eq!(
            other(|p| p.space = Space::new("finance")),
            Some(KeptApart::SpaceDiffers)
        );
        assert_eq!(
            other(|p| p.kind = "invoice".to_owned()),
            Some(KeptApart::KindDiffers)
        );
        assert_eq!(
            other(|p| p.subject = "bob@example.com".to_owned()),
            Some(KeptApart::SubjectDiffers)
        );
    }

    #[test]
    fn figures_beside_the_text_count() {
        let with = |figure: Figure| {
            let mut profile = profile(TICKET);
            profile.claims = profile
                .claims
                .with_figures([("/amount".to_owned(), figure)]);
            profile
        };
        let number = |text: &str| with(Figure::Number(text.to_owned()));
        assert_eq!(apart(&number("1"), &number("1")), None);
        assert_eq!(
            apart(&number("1"), &number("2")),
            Some(KeptApart::NumbersDiffer)
        );
        assert_eq!(
            apart(&number("1"), &profile(TICKET)),
            Some(KeptApart::NumbersDiffer)
        );
        assert_eq!(
            apart(&with(Figure::Truth(true)), &with(Figure::Truth(false))),
            Some(KeptApart::NegationDiffers)
        );
    }

    #[test]
    fn the_threshold_itself_is_not_near_enough() {
        let one = profile(TICKET);
        for cosine in [0.95, 0.0, -1.0, f64::NAN] {
            assert_eq!(
                kept_apart(&one, &one, cosine, 0.95),
                Some(KeptApart::BelowThreshold)
            );
        }
    }
}
