use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use crate::Entry;

/// Orders events so that a cause comes before what follows from it and a stream
/// keeps its order; what is unrelated is ordered by the recorders' clocks, and
/// then by place on the log, so that the order is always the same.
pub fn in_causal_order(entries: Vec<Entry>) -> Vec<Entry> {
    let by_id: HashMap<_, usize> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| (entry.event_id, index))
        .collect();
    let by_version: HashMap<_, usize> = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            (
                (entry.topic.as_str(), entry.stream.as_str(), entry.version),
                index,
            )
        })
        .collect();

    let mut followers = vec![Vec::new(); entries.len()];
    let mut waits_for = vec![0_usize; entries.len()];
    for (index, entry) in entries.iter().enumerate() {
        let cause = entry.causation.and_then(|id| by_id.get(&id));
        let previous = by_version.get(&(
            entry.topic.as_str(),
            entry.stream.as_str(),
            entry.version - 1,
        ));
        for &before in cause.into_iter().chain(previous) {
            if before != index {
                followers[before].push(index);
                waits_for[index] += 1;
            }
        }
    }

    let rank = |index: usize| {
        let entry = &entries[index];
        Reverse((
            entry.at,
            entry.topic.as_str(),
            entry.partition,
            entry.offset,
            index,
        ))
    };
    let mut ready: BinaryHeap<_> = (0..entries.len())
        .filter(|index| waits_for[*index] == 0)
        .map(rank)
        .collect();
    let mut order = Vec::with_capacity(entries.len());
    while let Some(Reverse((.., index))) = ready.pop() {
        order.push(index);
        for &follower in &followers[index] {
            waits_for[follower] -= 1;
            if waits_for[follower] == 0 {
                ready.push(rank(follower));
            }
        }
    }
    // Events that name each other as their causes cannot come from us; they are
    // shown all the same, at the end.
    let mut rest: Vec<_> = (0..entries.len())
        .filter(|index| waits_for[*index] > 0)
        .map(rank)
        .collect();
    rest.sort_by(|a, b| b.cmp(a));
    order.extend(rest.into_iter().map(|Reverse((.., index))| index));

    let mut entries: Vec<_> = entries.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|index| entries[index].take())
        .collect()
}

#[cfg(test)]
mod tests {
    use domain_kernel::{CorrelationId, EventId, TenantId, Timestamp};
    use serde_json::Value;

    use super::*;

    fn entry(name: &str, cause: Option<&str>, stream: &str, version: i64, at: i64) -> Entry {
        Entry {
            event_id: EventId::derive(&[name]),
            topic: "mesh.workflows".to_owned(),
            partition: 0,
            offset: at,
            name: name.to_owned(),
            stream: stream.to_owned(),
            version,
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::derive(&["c"]),
            causation: cause.map(|cause| EventId::derive(&[cause])),
            at: Timestamp::from_micros(at),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: None,
            body: Value::Null,
            value_sha256: String::new(),
        }
    }

    fn names(entries: Vec<Entry>) -> Vec<String> {
        in_causal_order(entries)
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    }

    #[test]
    fn causes_come_first_whatever_the_clocks_say() {
        let entries = vec![
            entry("c", Some("b"), "s3", 1, 1),
            entry("a", None, "s1", 1, 9),
            entry("b", Some("a"), "s2", 1, 5),
        ];
        assert_eq!(names(entries), ["a", "b", "c"]);
    }

    #[test]
    fn a_stream_keeps_its_order_and_the_rest_goes_by_time() {
        let entries = vec![
            entry("second", Some("root"), "s", 2, 1),
            entry("first", Some("root"), "s", 1, 2),
            entry("other", Some("root"), "t", 1, 3),
            entry("root", None, "r", 1, 0),
        ];
        assert_eq!(names(entries), ["root", "first", "second", "other"]);
    }

    #[test]
    fn a_circle_is_shown_all_the_same() {
        let entries = vec![
            entry("x", Some("y"), "s", 1, 2),
            entry("y", Some("x"), "t", 1, 1),
            entry("z", None, "u", 1, 3),
        ];
        assert_eq!(names(entries), ["z", "y", "x"]);
    }
}
