use domain_effect::EffectRequest;
use domain_kernel::{Codec, CorrelationId, EventId, Metadata, Recorded, TenantId, Timestamp};
use schemas::{AnyEvent, Decisions, Deliveries, Effects, Registry};

use crate::samples;

fn recorded<E>(event: E) -> Recorded<E> {
    Recorded {
        meta: Metadata {
            id: EventId::derive(&["e"]),
            tenant: TenantId::new("acme"),
            correlation: CorrelationId::of_delivery("zapier", "msg_1"),
            causation: None,
            stream: "source/zapier".to_owned(),
            version: 1,
            at: Timestamp::from_micros(0),
            source: "/agentmesh/test".to_owned(),
            traceparent: None,
            actor: None,
        },
        event,
    }
}

#[test]
fn keys_keep_together_what_must_stay_in_order() {
    let correlation = CorrelationId::of_delivery("zapier", "msg_1").to_string();
    let mut seen = 0;
    for event in samples::all() {
        let (key, expected) = match event {
            AnyEvent::Delivery(event) => (Deliveries::key(&recorded(event)), "acme/support"),
            AnyEvent::Decision(event) => (Decisions::key(&recorded(event)), correlation.as_str()),
            AnyEvent::Effect(event @ EffectRequest::Requested(_)) => {
                (Effects::key(&recorded(event)), "hubspot/tickets/T-1001")
            }
            AnyEvent::Registry(event) => (Registry::key(&recorded(event)), "source/zapier"),
            _ => continue,
        };
        assert_eq!(key, expected);
        seen += 1;
    }
    assert_eq!(seen, 14);
}
