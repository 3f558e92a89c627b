//! How the deliveries of a batch are named.

/// The id of a CloudEvent as a delivery: `source` and `id` together name an event,
/// wherever and how often it is sent (CloudEvents 1.0, `id`). A source may have a
/// fragment and an id may have anything in it, so that the sign between them is
/// not left standing in the id.
pub fn cloud_event_id(source: &str, id: &str) -> String {
    let id = id.replace('%', "%25").replace('#', "%23");
    format!("{source}#{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_events_never_share_a_name() {
        assert_eq!(cloud_event_id("/shop", "17"), "/shop#17");
        let pairs = [("a#b", "c"), ("a", "b#c"), ("a", "b%23c"), ("a#b#c", "")];
        let names: std::collections::BTreeSet<String> = pairs
            .iter()
            .map(|(source, id)| cloud_event_id(source, id))
            .collect();
        assert_eq!(names.len(), pairs.len());
    }
}
