//! A judge that never finds anything proves nothing: each of these histories
//! has one thing wrong, and the judge must say which.
#![allow(clippy::unwrap_used)]

use tests_kit::Answer;

use super::*;
use crate::ledger::Fact;
use crate::load::ticket;

fn answer(status: u16, replayed: bool, body: &str) -> anyhow::Result<Answer> {
    Ok(Answer {
        status,
        content_type: String::new(),
        retry_after: None,
        replayed,
        body: body.as_bytes().to_vec(),
    })
}

fn delivery(key: &str, number: usize) -> Delivery {
    let ticket = ticket(key, number, &format!("{key}{number}"));
    let mut delivery = Delivery::new(ticket, key, number);
    assert!(delivery.note(&answer(202, false, "accepted")));
    delivery
}

fn facts(world: &mut World, delivery: &Delivery) {
    for (topic, name) in ONCE {
        world.ledger.facts.push(Fact {
            topic: topic.to_owned(),
            partition: 0,
            name: name.to_owned(),
            correlation: delivery.correlation(),
        });
    }
    world.writes.push(Write {
        external_id: delivery.ticket.id.clone(),
        subject: delivery.ticket.subject.clone(),
        archived: false,
    });
}

/// Two deliveries of one key and one of another, all well.
fn well() -> (History, World) {
    let history = History {
        deliveries: vec![delivery("a", 0), delivery("a", 1), delivery("b", 0)],
    };
    let mut world = World::default();
    for delivery in &history.deliveries {
        facts(&mut world, delivery);
    }
    (history, world)
}

#[test]
fn what_is_well_is_clean() {
    let (history, world) = well();
    let verdict = judge(&history, &world);
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!((verdict.acknowledged, verdict.applied), (3, 3));
}

#[test]
fn a_lost_event_is_found() {
    for (topic, name) in ONCE {
        let (history, mut world) = well();
        let lost = history.deliveries[1].correlation();
        world
            .ledger
            .facts
            .retain(|fact| fact.correlation != lost || fact.topic != topic || fact.name != name);
        let verdict = judge(&history, &world);
        assert_eq!(verdict.lost, [format!("a no. 1 has no {name}")]);
        assert_eq!(verdict.applied, 2);
    }
}

#[test]
fn a_lost_write_is_found() {
    let (history, mut world) = well();
    world.writes.remove(2);
    let verdict = judge(&history, &world);
    assert_eq!(verdict.lost, ["b no. 0 has no the write to the CRM"]);
}

#[test]
fn a_duplicated_event_is_found() {
    for at in 0..ONCE.len() {
        let (history, mut world) = well();
        let again = world.ledger.facts[at].clone();
        let name = again.name.clone();
        world.ledger.facts.push(again);
        let verdict = judge(&history, &world);
        assert_eq!(verdict.duplicated, [format!("2 × {name} of a no. 0")]);
    }
}

#[test]
fn a_duplicated_write_is_found_and_so_is_one_nobody_was_told_of() {
    let (mut history, mut world) = well();
    world.writes.push(world.writes[0].clone());
    assert_eq!(
        judge(&history, &world).duplicated,
        ["2 writes to the CRM of a no. 0"]
    );
    // Not acknowledged, so it may be missing, but it may not be there twice.
    history.deliveries[0].acknowledged = None;
    let verdict = judge(&history, &world);
    assert_eq!(verdict.duplicated.len(), 1);
    assert_eq!(verdict.acknowledged, 2);
}

#[test]
fn events_out_of_order_are_found() {
    let (history, mut world) = well();
    let first = history.deliveries[0].correlation();
    let moved: Vec<Fact> = world
        .ledger
        .facts
        .iter()
        .filter(|fact| fact.correlation == first && fact.name == "DeliveryAccepted")
        .cloned()
        .collect();
    world
        .ledger
        .facts
        .retain(|fact| fact.correlation != first || fact.name != "DeliveryAccepted");
    world.ledger.facts.extend(moved);
    let wrong = judge(&history, &world).wrong;
    assert_eq!(
        wrong,
        ["DeliveryAccepted of a no. 0 stands behind that of its successor"]
    );
}

#[test]
fn writes_out_of_order_are_found() {
    let (history, mut world) = well();
    world.writes.swap(0, 1);
    let wrong = judge(&history, &world).wrong;
    assert_eq!(wrong.len(), 1);
    assert!(
        wrong[0].starts_with("a was written in the order"),
        "{wrong:?}"
    );
}

#[test]
fn a_read_model_that_is_not_what_the_log_says_is_found() {
    let (history, mut world) = well();
    world.digests.push(Digests {
        read_model: "audit".to_owned(),
        live: "1".to_owned(),
        replayed: "2".to_owned(),
    });
    assert_eq!(
        judge(&history, &world).wrong,
        ["audit held 1 and holds 2 after a replay"]
    );
}

#[test]
fn answers_that_contradict_each_other_are_found() {
    let mut twice = delivery("a", 0);
    twice.note(&answer(202, false, "accepted"));
    twice.note(&answer(202, true, "something else"));
    twice.note(&answer(500, false, ""));
    twice.note(&answer(503, false, ""));
    assert_eq!(twice.complaints.len(), 4, "{:?}", twice.complaints);
    let mut fine = delivery("b", 0);
    fine.note(&answer(202, true, "accepted"));
    fine.note(&answer(409, false, ""));
    fine.note(&Err(anyhow::anyhow!("reset")));
    assert!(fine.complaints.is_empty());
}
