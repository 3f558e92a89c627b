use std::sync::OnceLock;

use metrics::{Counter, counter};
use platform_telemetry::install_recorder;
use platform_telemetry::names::metric;

/// The topics that a producer has written to. They are few and looked up for each
/// record, by many threads at once: a list that only grows needs no lock.
pub(crate) struct Topics {
    prefix: String,
    first: OnceLock<Box<Topic>>,
}

pub(crate) struct Topic {
    name: &'static str,
    full_name: String,
    appended: OnceLock<Counter>,
    next: OnceLock<Box<Topic>>,
}

impl Topics {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            first: OnceLock::new(),
        }
    }

    /// The topic of that name, without the prefix.
    pub(crate) fn named(&self, name: &'static str) -> &Topic {
        let mut place = &self.first;
        loop {
            let topic = place.get_or_init(|| Box::new(Topic::new(&self.prefix, name)));
            if topic.name == name {
                return topic;
            }
            place = &topic.next;
        }
    }
}

impl Topic {
    fn new(prefix: &str, name: &'static str) -> Self {
        Self {
            name,
            full_name: format!("{prefix}{name}"),
            appended: OnceLock::new(),
            next: OnceLock::new(),
        }
    }

    /// The name with the prefix.
    pub(crate) fn full_name(&self) -> &str {
        &self.full_name
    }

    /// Counts the records that were acknowledged. Born with the first of them.
    pub(crate) fn appended(&self) -> &Counter {
        self.appended.get_or_init(|| {
            install_recorder();
            counter!(metric::LOG_APPENDED, "topic" => self.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_made_once_and_found_again() {
        let topics = Topics::new("t.");
        let names = ["mesh.a", "mesh.b", "mesh.c"];
        let made = names.map(|name| topics.named(name));
        for (name, topic) in names.into_iter().zip(made) {
            assert_eq!(topic.full_name(), format!("t.{name}"));
            assert!(std::ptr::eq(topics.named(name), topic), "{name}");
        }
    }

    #[test]
    fn many_at_once_find_their_own() {
        let topics = Topics::new("");
        let names = ["mesh.a", "mesh.b", "mesh.c", "mesh.d"];
        std::thread::scope(|scope| {
            for first in 0..names.len() {
                let topics = &topics;
                scope.spawn(move || {
                    for name in names.into_iter().cycle().skip(first).take(names.len()) {
                        assert_eq!(topics.named(name).full_name(), name);
                    }
                });
            }
        });
    }
}
