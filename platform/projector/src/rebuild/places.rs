use std::collections::BTreeMap;

use platform_config::Kafka;
use platform_log::{Admin, PartitionReader};

use super::Until;
use crate::Failure;
use crate::digest::Offsets;

/// An offset for each topic and partition.
pub(super) type Places = BTreeMap<(String, i32), i64>;

/// Where the topics end now.
pub(super) async fn log_ends(admin: &Admin, topics: &[&'static str]) -> Result<Places, Failure> {
    let mut ends = Places::new();
    for topic in topics {
        let marks = admin
            .high_watermarks(topic)
            .await
            .map_err(Failure::transient)?;
        for (partition, end) in marks {
            ends.insert(((*topic).to_owned(), partition), end);
        }
    }
    Ok(ends)
}

/// Where to end for what was asked. `ends` is where the log ends.
pub(super) async fn resolve(
    until: &Until,
    ends: &Places,
    kafka: &Kafka,
) -> Result<Places, Failure> {
    match until {
        Until::End => Ok(ends.clone()),
        Until::Offsets(asked) => {
            let mut resolved = ends.clone();
            for (topic, partition, offset) in asked {
                let place = resolved.get_mut(&(topic.clone(), *partition));
                let Some(end) = place else {
                    return Err(Failure::poison(format!(
                        "{topic}/{partition} is not among what this read model is made from"
                    )));
                };
                if *offset < 0 || *offset > *end {
                    return Err(Failure::poison(format!(
                        "{topic}/{partition} ends at {end}, so it cannot be read to {offset}"
                    )));
                }
                *end = *offset;
            }
            Ok(resolved)
        }
        Until::Time(millis) => at_time(*millis, ends, kafka).await,
    }
}

async fn at_time(millis: i64, ends: &Places, kafka: &Kafka) -> Result<Places, Failure> {
    let mut topics: BTreeMap<&str, Vec<(i32, i64)>> = BTreeMap::new();
    for ((topic, partition), end) in ends {
        topics.entry(topic).or_default().push((*partition, *end));
    }
    let mut resolved = ends.clone();
    for (topic, from) in topics {
        // Opened at the end, where there is nothing to fetch.
        let reader = PartitionReader::open(kafka, topic, from).map_err(Failure::transient)?;
        for (partition, offset) in reader
            .offsets_at(millis)
            .await
            .map_err(Failure::transient)?
        {
            if let (Some(offset), Some(end)) =
                (offset, resolved.get_mut(&(topic.to_owned(), partition)))
            {
                *end = offset.min(*end);
            }
        }
    }
    Ok(resolved)
}

/// How many offsets lie between.
pub(super) fn between(from: &Places, to: &Places) -> u64 {
    to.iter()
        .map(|(place, end)| (end - from.get(place).copied().unwrap_or(0)).max(0))
        .sum::<i64>()
        .unsigned_abs()
}

/// Whether `there` has come at least as far as `here` everywhere.
pub(super) fn covers(there: &Places, here: &Places) -> bool {
    here.iter()
        .all(|(place, offset)| there.get(place).copied().unwrap_or(0) >= *offset)
}

pub(super) fn to_offsets(places: &Places) -> Offsets {
    let mut offsets = Offsets::new();
    for ((topic, partition), offset) in places {
        let of_topic = offsets.entry(topic.clone()).or_default();
        of_topic.insert(*partition, *offset);
    }
    offsets
}

pub(super) fn from_offsets(offsets: &Offsets) -> Places {
    offsets
        .iter()
        .flat_map(|(topic, of_topic)| {
            of_topic
                .iter()
                .map(|(partition, offset)| ((topic.clone(), *partition), *offset))
        })
        .collect()
}

pub(super) fn to_json(places: &Places) -> String {
    serde_json::to_string(&to_offsets(places)).unwrap_or_default()
}

/// None when it is not what `to_json` wrote.
pub(super) fn from_json(text: &str) -> Option<Places> {
    serde_json::from_str(text).ok().as_ref().map(from_offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(offsets: &[(i32, i64)]) -> Places {
        offsets
            .iter()
            .map(|(partition, offset)| (("t".to_owned(), *partition), *offset))
            .collect()
    }

    #[test]
    fn places_are_compared_one_by_one() {
        let (here, there) = (places(&[(0, 5), (1, 2)]), places(&[(0, 4), (1, 9)]));
        assert!(!covers(&there, &here));
        assert!(covers(&places(&[(0, 5), (1, 9)]), &here));
        assert_eq!(between(&here, &there), 7);
        // What has no checkpoint yet stands at the beginning.
        assert!(covers(&places(&[]), &places(&[(0, 0)])));
    }

    #[test]
    fn places_are_read_back() {
        let there = places(&[(0, 4), (11, 9)]);
        assert_eq!(from_json(&to_json(&there)), Some(there));
        assert_eq!(from_json("nonsense"), None);
    }

    #[tokio::test]
    async fn offsets_beyond_the_end_are_refused() {
        let kafka = platform_config::Settings::defaults().unwrap().kafka;
        let ends = places(&[(0, 4), (1, 9)]);
        let to = |partition, offset| Until::Offsets(vec![("t".to_owned(), partition, offset)]);
        let resolved = resolve(&to(1, 3), &ends, &kafka).await.unwrap();
        assert_eq!(resolved, places(&[(0, 4), (1, 3)]));
        assert!(resolve(&to(1, 10), &ends, &kafka).await.is_err());
        assert!(resolve(&to(7, 0), &ends, &kafka).await.is_err());
    }
}
