//! The fourteen steps of "Zapier → MCP agent → enterprise system", read off the
//! events that prove them.

use domain_kernel::Timestamp;
use projections_audit::Entry;
use serde_json::Value;

/// One step that has happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// From 1 to 14.
    pub(super) number: usize,
    pub(super) title: &'static str,
    /// What happened, with the facts that matter.
    pub(super) what: String,
    /// Where it can be seen.
    pub(super) stored: String,
    /// Milliseconds since the step before; none for what shares an event with it.
    pub(super) took_ms: Option<f64>,
}

/// How the run stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WayOut {
    Open,
    Succeeded,
    Ended(String),
}

/// What has been shown, and what is still to come.
#[derive(Debug)]
pub(super) struct Steps {
    facts: Facts,
    shown: usize,
    last_at: Option<Timestamp>,
    remote_id: Option<String>,
    way_out: WayOut,
}

/// What is known of the run beside its events.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) ticket: String,
    /// What every Redis key starts with.
    pub(super) key_prefix: String,
    /// The key in Redis that says which context the delivery went into.
    pub(super) link: String,
}

struct Rule {
    title: &'static str,
    /// The event that proves the step.
    event: &'static str,
    what: fn(&Value, &Facts) -> String,
    stored: fn(&Entry, &Facts) -> String,
}

/// In order. Steps that share an event happened in one place and one moment.
const RULES: [Rule; 14] = [
    Rule {
        title: "Webhook POST",
        event: "DeliveryAccepted",
        what: |body, facts| {
            format!(
                "ticket {} from source {}",
                facts.ticket,
                text(body, "source_id")
            )
        },
        stored: |_, _| "gateway, answered 202".to_owned(),
    },
    Rule {
        title: "Signature validated",
        event: "DeliveryAccepted",
        what: |body, _| {
            format!(
                "{} by {}, key {}",
                text(body, "auth"),
                text(body, "scheme"),
                text(body, "key_id")
            )
        },
        stored: |_, _| "raw body and signed headers are kept".to_owned(),
    },
    Rule {
        title: "Idempotency checked",
        event: "DeliveryAccepted",
        what: |body, _| format!("{} is new", text(body, "delivery_id")),
        stored: |entry, facts| {
            format!(
                "Redis {}idempotency:{}; for good in Postgres deliveries.accepted",
                facts.key_prefix, entry.correlation
            )
        },
    },
    Rule {
        title: "Policy enforced",
        event: "PolicyDecided",
        what: |body, _| {
            format!(
                "{}: {} by {}, {} µs",
                text(body, "path"),
                if body["allow"] == true {
                    "allow"
                } else {
                    "deny"
                },
                short(body, "bundle_digest"),
                text(body, "duration_us")
            )
        },
        stored: place,
    },
    Rule {
        title: "Published to the context bus",
        event: "DeliveryAccepted",
        what: |body, _| text(body, "event_type"),
        stored: place,
    },
    Rule {
        title: "Deduplicated",
        event: "ContextShared",
        what: |body, _| match body["neighbour"]["cosine"].as_f64() {
            Some(cosine) => format!(
                "new; nearest neighbour at cosine {cosine:.3}, kept apart: {}",
                text(&body["neighbour"], "kept_apart")
            ),
            None => "new; nothing like it is known".to_owned(),
        },
        stored: place,
    },
    Rule {
        title: "Cached",
        event: "ContextShared",
        what: |body, _| format!("context {} for 24 h", short(body, "context_id")),
        stored: |_, facts| format!("Redis {}", facts.link),
    },
    Rule {
        title: "Subscribers notified",
        event: "SubscriberNotified",
        what: |body, _| text(body, "subscriber"),
        stored: place,
    },
    Rule {
        title: "Notification received",
        event: "WorkflowStarted",
        what: |body, _| {
            format!(
                "workflow {} as of {}",
                text(body, "definition_id"),
                short(body, "definition_digest")
            )
        },
        stored: place,
    },
    Rule {
        title: "Context history fetched",
        event: "ExecutionStarted",
        what: |body, _| {
            format!(
                "{} was shown {} contexts",
                text(body, "agent_id"),
                body["shown"].as_array().map_or(0, Vec::len)
            )
        },
        stored: place,
    },
    Rule {
        title: "Agent executed",
        event: "ExecutionSucceeded",
        what: |body, _| {
            format!(
                "{} over MCP, model {}, {} ms",
                text(body, "agent_id"),
                text(body, "model"),
                text(body, "duration_ms")
            )
        },
        stored: place,
    },
    Rule {
        title: "Response generated",
        event: "ExecutionSucceeded",
        what: |body, _| {
            let reply: String = text(&body["output"], "reply").chars().take(60).collect();
            format!("\"{}…\"", reply.replace('\n', " "))
        },
        stored: |_, _| "in the same event".to_owned(),
    },
    Rule {
        title: "Result stored",
        event: "StepSucceeded",
        what: |body, _| format!("step {} succeeded", text(body, "step")),
        stored: |_, _| "Postgres executions.execution, workflows".to_owned(),
    },
    Rule {
        title: "Synced to the CRM",
        event: "EffectConfirmed",
        what: |body, _| {
            format!(
                "record {}, version {}",
                text(body, "remote_id"),
                text(body, "remote_version")
            )
        },
        stored: place,
    },
];

impl Steps {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            shown: 0,
            last_at: None,
            remote_id: None,
            way_out: WayOut::Open,
        }
    }

    /// The steps that `entries`, in causal order, newly prove.
    pub(super) fn take_in(&mut self, entries: &[Entry]) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(rule) = RULES.get(self.shown) {
            let Some(entry) = entries.iter().find(|entry| entry.name == rule.event) else {
                break;
            };
            self.shown += 1;
            let took_ms = self
                .last_at
                .filter(|last| entry.at > *last)
                .map(|last| (entry.at.as_micros() - last.as_micros()) as f64 / 1_000.0);
            self.last_at = self.last_at.max(Some(entry.at));
            steps.push(Step {
                number: self.shown,
                title: rule.title,
                what: (rule.what)(&entry.body, &self.facts),
                stored: (rule.stored)(entry, &self.facts),
                took_ms,
            });
        }
        self.read_way_out(entries);
        steps
    }

    fn read_way_out(&mut self, entries: &[Entry]) {
        for entry in entries {
            match entry.name.as_str() {
                "EffectConfirmed" => self.remote_id = Some(text(&entry.body, "remote_id")),
                "WorkflowSucceeded" if self.shown == RULES.len() => {
                    self.way_out = WayOut::Succeeded;
                }
                "WorkflowCompensated" => {
                    self.way_out =
                        WayOut::Ended(format!("compensated, {}", text(&entry.body, "reason")));
                }
                "WorkflowParked" => {
                    self.way_out =
                        WayOut::Ended(format!("parked, {}", text(&entry.body, "reason")));
                }
                "ContextMerged" => {
                    self.way_out = WayOut::Ended("merged into an earlier ticket".to_owned());
                }
                _ => {}
            }
        }
    }

    /// The step that comes next.
    pub(super) const fn next_number(&self) -> usize {
        self.shown + 1
    }

    pub(super) fn way_out(&self) -> WayOut {
        self.way_out.clone()
    }

    pub(super) fn remote_id(&self) -> Option<&str> {
        self.remote_id.as_deref()
    }
}

fn place(entry: &Entry, _: &Facts) -> String {
    format!(
        "Kafka {} partition {} offset {}",
        entry.topic, entry.partition, entry.offset
    )
}

fn text(body: &Value, name: &str) -> String {
    match &body[name] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// The first letters of an id or digest, enough to recognise it.
fn short(body: &Value, name: &str) -> String {
    text(body, name).chars().take(15).collect()
}

#[cfg(test)]
mod tests {
    use domain_kernel::{CorrelationId, EventId, TenantId};
    use serde_json::json;

    use super::*;

    fn new_steps() -> Steps {
        Steps::new(Facts {
            ticket: "T-1".to_owned(),
            key_prefix: "agentmesh:".to_owned(),
            link: "agentmesh:cache2:correlation:c".to_owned(),
        })
    }

    fn entry(name: &str, at_ms: i64) -> Entry {
        Entry {
            event_id: EventId::derive(&[name]),
            topic: "mesh.any".to_owned(),
            partition: 0,
            offset: 1,
            name: name.to_owned(),
            stream: name.to_owned(),
            version: 1,
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::derive(&["c"]),
            causation: None,
            at: Timestamp::from_millis(at_ms),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: None,
            body: json!({ "remote_id": "1001", "reason": "no" }),
            value_sha256: String::new(),
        }
    }

    #[test]
    fn steps_appear_once_and_in_order() {
        let mut steps = new_steps();
        let mut entries = vec![entry("PolicyDecided", 10), entry("DeliveryAccepted", 11)];
        let first: Vec<_> = steps
            .take_in(&entries)
            .iter()
            .map(|step| step.number)
            .collect();
        assert_eq!(first, [1, 2, 3, 4, 5]);
        assert!(steps.take_in(&entries).is_empty());
        entries.push(entry("ContextShared", 15));
        let second = steps.take_in(&entries);
        assert_eq!(second.len(), 2);
        assert_eq!(second[0].took_ms, Some(4.0));
        assert_eq!(second[1].took_ms, None);
        assert_eq!(steps.next_number(), 8);
        assert_eq!(steps.way_out(), WayOut::Open);
    }

    #[test]
    fn all_fourteen_end_in_success() {
        let mut steps = new_steps();
        let mut entries: Vec<_> = RULES.iter().map(|rule| entry(rule.event, 1)).collect();
        assert_eq!(steps.take_in(&entries).len(), 14);
        assert_eq!(steps.way_out(), WayOut::Open);
        entries.push(entry("WorkflowSucceeded", 2));
        assert!(steps.take_in(&entries).is_empty());
        assert_eq!(steps.way_out(), WayOut::Succeeded);
        assert_eq!(steps.remote_id(), Some("1001"));
    }

    #[test]
    fn a_compensated_run_is_told_as_such() {
        let mut steps = new_steps();
        steps.take_in(&[entry("WorkflowCompensated", 1)]);
        assert_eq!(steps.way_out(), WayOut::Ended("compensated, no".to_owned()));
    }
}
