//! What was recorded in an older version does to a state what it always did.

use domain_effect::{EffectConfirmed, EffectDecider, EffectEvent, EffectState, Evidence};
use domain_kernel::{Codec, Decider};
use schemas::{AnyEvent, Outcomes, published};

use crate::samples;

const V1: &[u8] = include_bytes!("../../golden/mesh.outcomes/EffectConfirmed-v1.avro");
const V2: &[u8] = include_bytes!("../../golden/mesh.outcomes/EffectConfirmed-v2.avro");

fn decode(version: u32, datum: &[u8]) -> EffectEvent {
    let entry = published()
        .iter()
        .find(|entry| entry.name == "EffectConfirmed" && entry.version == version)
        .unwrap();
    let schema = Outcomes::parse_schema(entry.name, entry.text).unwrap();
    Outcomes::decode(entry.name, &schema, datum).unwrap()
}

fn confirmed(event: EffectEvent) -> EffectConfirmed {
    match event {
        EffectEvent::Confirmed(confirmed) => confirmed,
        other => panic!("{other:?}"),
    }
}

/// The outcomes of the samples in their order, with this confirmation among them.
fn folded(confirmation: &EffectEvent) -> Vec<EffectState> {
    let mut state = EffectState::default();
    let mut states = Vec::new();
    for sample in samples::all() {
        let AnyEvent::Outcome(event) = sample else {
            continue;
        };
        let event = match event {
            EffectEvent::Confirmed(_) => confirmation,
            ref other => other,
        };
        state = EffectDecider::evolve(state, event);
        states.push(state.clone());
    }
    states
}

#[test]
fn old_bytes_are_upcast_and_fold_to_the_same_state() {
    let (old, new) = (decode(1, V1), decode(2, V2));
    assert_eq!(confirmed(old.clone()).evidence, Evidence::Unstated);
    assert_eq!(confirmed(new.clone()).evidence, Evidence::Reading);
    let states = folded(&old);
    assert_eq!(states, folded(&new));
    assert_eq!(states[1].outcome(), Some("confirmed"));
}

#[test]
fn what_is_unstated_stays_unstated_when_it_is_written_again() {
    let old = decode(1, V1);
    let again = Outcomes::encode(&old).unwrap();
    assert_eq!(decode(2, &again), old);
}

#[test]
fn an_evidence_nobody_knows_is_refused() {
    let mut datum = V2.to_vec();
    let at = datum.len() - 1;
    datum[at] = b'G';
    let entry = published()
        .iter()
        .rfind(|entry| entry.name == "EffectConfirmed")
        .unwrap();
    let schema = Outcomes::parse_schema(entry.name, entry.text).unwrap();
    assert!(Outcomes::decode(entry.name, &schema, &datum).is_err());
}
