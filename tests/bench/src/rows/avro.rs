//! Our codecs against the generic values of the reference implementation.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use apache_avro::types::Value;
use apache_avro::{Schema, from_avro_datum, to_avro_datum};
use domain_delivery::DeliveryEvent;
use domain_kernel::Codec as _;
use schemas::{Deliveries, catalogue};

use crate::Bench;
use crate::fixtures;
use crate::harness::{Goal, Row, in_turns, rate};

const NAME: &str = "DeliveryAccepted";

/// G7, both ways.
pub(crate) async fn codecs(bench: &Bench) -> anyhow::Result<Vec<Row>> {
    let count = bench.size.pick(2_000, 20_000, 100_000);
    let text = catalogue()
        .iter()
        .rev()
        .find(|entry| entry.name == NAME)
        .context("no such schema")?
        .text;
    let schema = Schema::parse_str(text)?;
    let writer = Deliveries::parse_schema(NAME, text)?;
    let events: Vec<DeliveryEvent> = (0..1_000).map(|n| fixtures::delivery(n).event).collect();
    let data: Vec<Vec<u8>> = events
        .iter()
        .map(Deliveries::encode)
        .collect::<Result<_, _>>()?;
    let values: Vec<Value> = data
        .iter()
        .map(|datum| from_avro_datum(&schema, &mut datum.as_slice(), None))
        .collect::<Result<_, _>>()?;
    for ((event, datum), value) in events.iter().zip(&data).zip(&values) {
        ensure!(
            to_avro_datum(&schema, value.clone())? == *datum,
            "other bytes"
        );
        ensure!(
            Deliveries::decode(NAME, &writer, datum)? == *event,
            "another event"
        );
    }
    let twin = format!("{} events: the same bytes, the same events", events.len());
    let mut found = Vec::new();
    if bench.wants("G7-encode") {
        let theirs = async || {
            // Their encoder takes the value; copying it is not what is measured.
            let owned: Vec<Value> = values.iter().cycle().take(count).cloned().collect();
            let started = Instant::now();
            for value in owned {
                black_box(to_avro_datum(&schema, value)?);
            }
            anyhow::Ok(rate(count, started.elapsed()))
        };
        let ours = async || {
            let started = Instant::now();
            for event in events.iter().cycle().take(count) {
                black_box(Deliveries::encode(black_box(event))?);
            }
            anyhow::Ok(rate(count, started.elapsed()))
        };
        let pairs = in_turns("events/s", bench.rounds, theirs, ours).await?;
        found.push(Row::new(
            "G7-encode",
            "encoding a domain event ÷ apache-avro encoding a ready generic value",
            Goal::AtLeast(10.0),
            &pairs,
            twin.clone(),
        )?);
    }
    if bench.wants("G7-decode") {
        let theirs = async || {
            let started = Instant::now();
            for datum in data.iter().cycle().take(count) {
                black_box(from_avro_datum(&schema, &mut datum.as_slice(), None)?);
            }
            anyhow::Ok(rate(count, started.elapsed()))
        };
        let ours = async || {
            let started = Instant::now();
            for datum in data.iter().cycle().take(count) {
                black_box(Deliveries::decode(NAME, &writer, black_box(datum))?);
            }
            anyhow::Ok(rate(count, started.elapsed()))
        };
        let pairs = in_turns("events/s", bench.rounds, theirs, ours).await?;
        found.push(Row::new(
            "G7-decode",
            "decoding to a domain event ÷ apache-avro decoding to a generic value",
            Goal::AtLeast(4.0),
            &pairs,
            twin,
        )?);
    }
    Ok(found)
}
