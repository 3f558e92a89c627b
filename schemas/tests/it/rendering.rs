use domain_delivery::DeliveryEvent;
use schemas::AnyEvent;
use serde_json::{Value, json};

use crate::samples;

fn rendered(body: &[u8]) -> Value {
    AnyEvent::Delivery(DeliveryEvent::Accepted(samples::accepted(body)))
        .to_json()
        .unwrap()
}

#[test]
fn a_body_is_shown_as_text_or_as_base64() {
    let text = rendered("grüß dich".as_bytes());
    assert_eq!(text["body"], "grüß dich");
    assert_eq!(text["body_encoding"], "utf-8");
    let binary = rendered(&[0xff, 0x00]);
    assert_eq!(binary["body"], "/wA=");
    assert_eq!(binary["body_encoding"], "base64");
}

#[test]
fn a_large_body_stays_one_string() {
    assert!(rendered(&vec![b'x'; 1 << 20])["body"].is_string());
}

#[test]
fn every_event_renders_as_an_object() {
    for event in samples::all() {
        assert!(event.to_json().unwrap().is_object(), "{}", event.name());
    }
}

#[test]
fn json_text_is_shown_as_json_and_secrets_stay_sealed() {
    for event in samples::all() {
        let json = event.to_json().unwrap();
        match event.name() {
            "SubscriberNotified" => assert_eq!(json["content"], json!({"ticket_id": "T-1001"})),
            "StepStarted" => assert_eq!(
                json["call"],
                json!({"AgentCall": {
                    "agent_id": "chatgpt-customer-support",
                    "tool": "handle_ticket",
                    "arguments": {"ticket": {}},
                }})
            ),
            "ConnectorDefined" => assert_eq!(json["credential"]["sealed"], "c2VhbGVk"),
            _ => {}
        }
    }
}
