use std::collections::{BTreeMap, BTreeSet};

use domain_kernel::{Decider, Recorded};
use platform_log::{Position, Record};

use super::broker::{Broker, WIDTH};
use super::model::{
    ASKS, COUNTS, Change, Count, Counted, Counter, INPUT_TOPICS, INPUTS, Pressed, asked, changes,
    decoded,
};
use super::shelf::{Shelf, Shelving, is_refused, rows};
use super::store::{Tables, Tally};
use crate::{DEAD_LETTERS, DeadLetter, StoreProjection};

/// One stream as its readers see it: of each version the first record counts.
struct Stream {
    visible: Vec<Recorded<Counted>>,
    state: Count,
}

/// What must hold when all is quiet. The first thing that does not.
pub(super) fn judge(
    broker: &Broker,
    deciding: &Tables,
    projecting: &Tables,
    shelf: &Shelf,
) -> Result<(), String> {
    let streams = visible(broker)?;
    every_input_is_decided_once(broker, &streams)?;
    totals_follow_from_each_other(broker, &streams)?;
    requests_follow_from_what_is_visible(broker, &streams)?;
    states_are_the_fold(deciding, &streams)?;
    dead_letters_are_kept(broker)?;
    let replayed = replay(broker, changes);
    if projecting.tally != replayed {
        return Err(format!(
            "the projection differs from a full replay\n  live   {:?}\n  replay {replayed:?}",
            projecting.tally
        ));
    }
    the_shelf_is_the_fold(broker, shelf)
}

fn the_shelf_is_the_fold(broker: &Broker, shelf: &Shelf) -> Result<(), String> {
    if let Some(broken) = &shelf.broken {
        return Err(broken.clone());
    }
    let replayed = replay(broker, |recorded, position| {
        if is_refused(&position.topic, &recorded.event) {
            return Vec::new();
        }
        rows(recorded, position)
    });
    if shelf.rows != replayed {
        return Err(format!(
            "the shelf differs from a full replay\n  live   {:?}\n  replay {replayed:?}",
            shelf.rows
        ));
    }
    for topic in INPUT_TOPICS {
        for partition in 0..WIDTH {
            let (there, end) = (
                shelf.next_offset(topic, partition),
                broker.end(topic, partition),
            );
            if there != end {
                return Err(format!(
                    "the shelf says {there} of {topic}/{partition}, which ends at {end}"
                ));
            }
        }
    }
    Ok(())
}

fn records<'a>(broker: &'a Broker, topic: &'a str) -> impl Iterator<Item = &'a Record> {
    (0..WIDTH).flat_map(move |partition| broker.partition(topic, partition))
}

fn visible(broker: &Broker) -> Result<BTreeMap<String, Stream>, String> {
    let mut streams: BTreeMap<String, Stream> = BTreeMap::new();
    for record in records(broker, COUNTS) {
        let recorded: Recorded<Counted> =
            decoded(record).ok_or_else(|| format!("{} does not decode", record.position()))?;
        let stream = streams
            .entry(recorded.meta.stream.clone())
            .or_insert_with(|| Stream {
                visible: Vec::new(),
                state: Count::default(),
            });
        let last = stream.visible.len() as u64;
        if recorded.meta.version <= last {
            continue;
        }
        if recorded.meta.version > last + 1 {
            return Err(format!(
                "{} lacks version {} before {}",
                recorded.meta.stream,
                last + 1,
                record.position()
            ));
        }
        stream.state = Counter::evolve(std::mem::take(&mut stream.state), &recorded.event);
        stream.visible.push(recorded);
    }
    Ok(streams)
}

/// The inputs by id: the stream, the input, and topic and offset of the first
/// record that holds it.
fn inputs(broker: &Broker) -> BTreeMap<String, (String, Pressed, &'static str, i64)> {
    let mut inputs = BTreeMap::new();
    for topic in INPUTS {
        for record in records(broker, topic) {
            if let Some(input) = decoded::<Pressed>(record) {
                inputs.entry(input.meta.id.to_string()).or_insert((
                    input.meta.stream,
                    input.event,
                    topic,
                    record.offset,
                ));
            }
        }
    }
    inputs
}

fn every_input_is_decided_once(
    broker: &Broker,
    streams: &BTreeMap<String, Stream>,
) -> Result<(), String> {
    let inputs = inputs(broker);
    let mut decided: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for (name, stream) in streams {
        let mut reached: BTreeMap<&str, i64> = BTreeMap::new();
        for recorded in &stream.visible {
            let event = &recorded.event;
            if !ids.insert(recorded.meta.id) {
                return Err(format!("event {} is visible twice", recorded.meta.id));
            }
            if event.press == "ring" {
                continue;
            }
            *decided.entry((&event.press, event.part)).or_default() += 1;
            let Some((of, _, topic, offset)) = inputs.get(&event.press) else {
                return Err(format!("{} was never asked for", event.press));
            };
            if of != name {
                return Err(format!("{} was decided in {name}", event.press));
            }
            let before = reached.entry(topic).or_insert(-1);
            if *before > *offset {
                return Err(format!(
                    "{name}: {topic}@{offset} was decided after {before}"
                ));
            }
            *before = *offset;
        }
    }
    for (id, (stream, pressed, topic, offset)) in &inputs {
        for part in 0..pressed.parts {
            let times = decided.get(&(id.as_str(), part)).copied().unwrap_or(0);
            if times != 1 {
                return Err(format!(
                    "part {part} of {topic}@{offset} of {stream} was decided {times} times"
                ));
            }
        }
    }
    // Readers that go by event id see the same events; but for a timer's, whose
    // id follows from wherever the stream stood.
    for record in records(broker, COUNTS) {
        if let Some(recorded) = decoded::<Counted>(record)
            && recorded.event.press != "ring"
            && !ids.contains(&recorded.meta.id)
        {
            return Err(format!("{} is visible by its id only", record.position()));
        }
    }
    Ok(())
}

fn totals_follow_from_each_other(
    broker: &Broker,
    streams: &BTreeMap<String, Stream>,
) -> Result<(), String> {
    let inputs = inputs(broker);
    for (name, stream) in streams {
        let mut total = 0;
        let mut rings = 0;
        // The parts of one decision share the total from before it.
        let mut base = 0;
        for recorded in &stream.visible {
            let event = &recorded.event;
            let number = match inputs.get(&event.press) {
                Some((_, pressed, _, _)) => pressed.number,
                None => {
                    rings += 1;
                    100
                }
            };
            if event.part == 0 {
                base = total;
            }
            total = base + number * (event.part + 1);
            if event.total != total {
                return Err(format!(
                    "{name} version {} says {} where {total} follows",
                    recorded.meta.version, event.total
                ));
            }
        }
        if rings > 1 {
            return Err(format!("{name} rang {rings} times"));
        }
    }
    Ok(())
}

fn requests_follow_from_what_is_visible(
    broker: &Broker,
    streams: &BTreeMap<String, Stream>,
) -> Result<(), String> {
    let mut expected = BTreeMap::new();
    for recorded in streams.values().flat_map(|stream| &stream.visible) {
        for (ordinal, request) in Counter::react(recorded).into_iter().enumerate() {
            let request = asked(&recorded.meta, ordinal, request);
            expected.insert(request.meta.id, request);
        }
    }
    let mut found = BTreeSet::new();
    for record in records(broker, ASKS) {
        let request: Recorded<Counted> =
            decoded(record).ok_or_else(|| format!("{} does not decode", record.position()))?;
        if expected.get(&request.meta.id) != Some(&request) {
            return Err(format!(
                "{} asks for what no visible event leads to: {request:?}",
                record.position()
            ));
        }
        found.insert(request.meta.id);
    }
    match expected.keys().find(|id| !found.contains(*id)) {
        Some(id) => Err(format!("request {id} was never made: {:?}", expected[id])),
        None => Ok(()),
    }
}

fn states_are_the_fold(
    deciding: &Tables,
    streams: &BTreeMap<String, Stream>,
) -> Result<(), String> {
    for (name, stream) in streams {
        let row = deciding
            .states
            .get(name)
            .ok_or_else(|| format!("there is no state of {name}"))?;
        let state: Count = serde_json::from_str(&row.state).unwrap();
        if row.version != stream.visible.len() as u64 || state != stream.state {
            return Err(format!(
                "the state of {name} is not what readers see: version {} of {}, {state:?} for {:?}",
                row.version,
                stream.visible.len(),
                stream.state
            ));
        }
    }
    Ok(())
}

fn dead_letters_are_kept(broker: &Broker) -> Result<(), String> {
    let (of_the_shelf, of_others): (Vec<DeadLetter>, Vec<DeadLetter>) =
        records(broker, DEAD_LETTERS)
            .filter_map(DeadLetter::read)
            .partition(|letter| letter.consumer == Shelving::NAME);
    let places = |letters: Vec<DeadLetter>| -> BTreeSet<Position> {
        let letters = letters.into_iter();
        letters.map(|letter| letter.original.position()).collect()
    };
    let (of_the_shelf, of_others) = (places(of_the_shelf), places(of_others));
    for topic in INPUTS {
        for record in records(broker, topic) {
            let origin = record.position();
            let poison = decoded::<Pressed>(record).is_none();
            if poison != of_others.contains(&origin) {
                return Err(format!("dead letter of {origin}: poison is {poison}"));
            }
            let refused = decoded::<serde_json::Value>(record)
                .is_none_or(|recorded| is_refused(topic, &recorded.event));
            if refused != of_the_shelf.contains(&origin) {
                return Err(format!(
                    "dead letter of {origin} from the shelf: refused is {refused}"
                ));
            }
        }
    }
    Ok(())
}

fn replay(
    broker: &Broker,
    changes: impl Fn(&Recorded<serde_json::Value>, &Position) -> Vec<Change>,
) -> Tally {
    let mut tally = Tally::default();
    for topic in INPUT_TOPICS {
        for record in records(broker, topic) {
            if let Some(recorded) = decoded::<serde_json::Value>(record) {
                for change in changes(&recorded, &record.position()) {
                    tally.apply(change);
                }
            }
        }
    }
    tally
}
