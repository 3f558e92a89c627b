//! Events as they would be, as many as are asked for, the same every time.

use domain_context::{ContextEvent, ContextShared};
use domain_delivery::{AuthMethod, DeliveryAccepted, DeliveryEvent};
use domain_effect::Operation;
use domain_kernel::{
    ContextId, CorrelationId, DecisionId, EventId, Json, Metadata, Recorded, Space, TenantId,
    Timestamp, WorkflowId,
};
use domain_policy::{PolicyDecided, PolicyEvent};
use domain_workflow::{
    Call, Definition, EffectCall, Expression, ResolvedCall, Step, StepStarted, StepSucceeded,
    Trigger, TriggeredBy, WorkflowEvent, WorkflowStarted, WorkflowSucceeded,
};

/// How many subjects and spaces the events are spread over.
const SUBJECTS: usize = 5_000;
const SPACES: usize = 64;
/// Steps of a run: started and succeeded once each, which with the start and
/// the end of the run makes ten events.
const STEPS: [&str; 4] = ["triage", "enrich", "ticket", "notify"];

/// The body of a support ticket, as a sender would post it: some 500 bytes.
pub(crate) fn ticket(n: usize) -> String {
    format!(
        r#"{{"event_type":"support.ticket.created","subject":"customer-{}@example.com","ticket":{{"id":"T-{n}","priority":"high","title":"The invoice of this month was charged twice","description":"Hello, the invoice number {n} was charged twice to my card, on Monday and again on Tuesday. Please pay one of the two amounts back, and tell me when I may expect the money. Kind regards, customer {}","tags":["billing","refund"],"created_at":"2026-11-01T10:00:00Z"}}}}"#,
        n % SUBJECTS,
        n % SUBJECTS
    )
}

fn space(n: usize) -> Space {
    Space::new(format!("team-{}", n % SPACES))
}

fn meta(n: usize, kind: &str, stream: String, version: u64, source: &str) -> Metadata {
    let delivery = format!("msg_{n}");
    let correlation = CorrelationId::of_delivery("zapier", &delivery);
    Metadata {
        id: EventId::derive(&[kind, &stream, &version.to_string()]),
        tenant: TenantId::new("acme"),
        correlation,
        causation: Some(EventId::derive(&["cause", &delivery])),
        stream,
        version,
        // A minute ago: what is kept for a day is kept.
        at: Timestamp::from_micros(platform_telemetry::now().as_micros() - 60_000_000),
        source: source.to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        actor: None,
    }
}

pub(crate) fn delivery(n: usize) -> Recorded<DeliveryEvent> {
    let body = ticket(n);
    let correlation = CorrelationId::of_delivery("zapier", &format!("msg_{n}"));
    Recorded {
        meta: meta(
            n,
            "delivery",
            correlation.to_string(),
            1,
            "/agentmesh/gateway",
        ),
        event: DeliveryEvent::Accepted(DeliveryAccepted {
            source_id: "zapier".to_owned(),
            delivery_id: format!("msg_{n}"),
            space: space(n),
            scheme: "standard-webhooks".to_owned(),
            auth: AuthMethod::HmacSha256,
            key_id: Some("2026-11".to_owned()),
            content_type: "application/json".to_owned(),
            body_sha256: digest(&body),
            body: body.into_bytes(),
            signed_headers: vec![
                ("webhook-id".to_owned(), format!("msg_{n}")),
                ("webhook-timestamp".to_owned(), "1790000000".to_owned()),
                (
                    "webhook-signature".to_owned(),
                    "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=".to_owned(),
                ),
            ],
            event_type: "support.ticket.created".to_owned(),
            subject: Some(format!("customer-{}@example.com", n % SUBJECTS)),
            request: None,
            source_version: Some(1),
            quarantine: None,
        }),
    }
}

pub(crate) fn decision(n: usize) -> Recorded<PolicyEvent> {
    let correlation = CorrelationId::of_delivery("zapier", &format!("msg_{n}"));
    Recorded {
        meta: meta(
            n,
            "decision",
            correlation.to_string(),
            1,
            "/agentmesh/gateway",
        ),
        event: PolicyEvent::Decided(PolicyDecided {
            decision_id: DecisionId::derive(&[&n.to_string()]),
            path: "mesh/ingest".to_owned(),
            bundle_digest: digest("bundle"),
            input: Json::from_text(format!(
                r#"{{"tenant":"acme","space":"support","source":"zapier","subject":"customer-{}@example.com","n":{n}}}"#,
                n % SUBJECTS
            )),
            result: Some(Json::from_text(r#"{"allow":true,"reasons":[]}"#)),
            allow: true,
            reasons: vec!["known sender".to_owned()],
            engine: "regorus".to_owned(),
            duration_us: 42,
        }),
    }
}

pub(crate) fn context(n: usize) -> Recorded<ContextEvent> {
    let context_id = ContextId::derive(&[&n.to_string()]);
    let content = ticket(n);
    Recorded {
        meta: meta(
            n,
            "context",
            context_id.to_string(),
            1,
            "/agentmesh/federation",
        ),
        event: ContextEvent::Shared(ContextShared {
            context_id,
            space: space(n),
            kind: "support.ticket.created".to_owned(),
            subject: format!("customer-{}@example.com", n % SUBJECTS),
            delivery: EventId::derive(&["delivery", &n.to_string()]),
            source_id: "zapier".to_owned(),
            content_sha256: digest(&content),
            content: Json::from_text(content),
            text: "the invoice was charged twice to my card".to_owned(),
            model_digest: digest("model"),
            neighbour: None,
            subscribers: vec!["tickets".to_owned()],
        }),
    }
}

fn workflow_id(n: usize) -> WorkflowId {
    WorkflowId::derive(&[&n.to_string()])
}

fn in_workflow(n: usize, version: u64, event: WorkflowEvent) -> Recorded<WorkflowEvent> {
    let stream = workflow_id(n).to_string();
    Recorded {
        meta: meta(n, "workflow", stream, version, "/agentmesh/workflow"),
        event,
    }
}

pub(crate) fn workflow_started(n: usize) -> Recorded<WorkflowEvent> {
    let steps = STEPS.map(|name| Step {
        name: name.to_owned(),
        when: None,
        call: Call::Effect(EffectCall {
            connector: "crm".to_owned(),
            operation: Operation::Upsert,
            object: "tickets".to_owned(),
            id_property: "agentmesh_id".to_owned(),
            external_id: Expression("trigger.content.ticket.id".to_owned()),
            properties: [("subject".to_owned(), Expression("'x'".to_owned()))].into(),
        }),
        deadline_ms: 30_000,
        compensate: None,
    });
    in_workflow(
        n,
        1,
        WorkflowEvent::Started(WorkflowStarted {
            workflow_id: workflow_id(n),
            definition_id: "support-ticket".to_owned(),
            definition_digest: digest("definition"),
            definition: Definition {
                name: "support-ticket".to_owned(),
                trigger: Trigger {
                    kind: "support.ticket.created".to_owned(),
                    space: space(n),
                    when: None,
                },
                steps: steps.into(),
            },
            trigger: TriggeredBy {
                context_id: ContextId::derive(&[&n.to_string()]),
                kind: "support.ticket.created".to_owned(),
                space: space(n),
                subject: format!("customer-{}@example.com", n % SUBJECTS),
                content: Json::from_text(r#"{"ticket":{"id":"T-1"}}"#),
            },
        }),
    )
}

/// What happens to run `n` at `version`: a step starts, then it succeeds, and
/// after the last the run is over.
pub(crate) fn workflow_goes_on(n: usize, version: u64) -> Recorded<WorkflowEvent> {
    let at = (version as usize - 2) / 2;
    let event = match STEPS.get(at) {
        Some(step) if version.is_multiple_of(2) => WorkflowEvent::StepStarted(StepStarted {
            workflow_id: workflow_id(n),
            step: (*step).to_owned(),
            call: ResolvedCall::Effect {
                connector_id: "crm".to_owned(),
                operation: Operation::Upsert,
                object: "tickets".to_owned(),
                id_property: "agentmesh_id".to_owned(),
                external_id: format!("T-{n}"),
                properties: Json::from_text("{}"),
            },
            space: space(n),
            subject: format!("customer-{}@example.com", n % SUBJECTS),
            deadline: Timestamp::from_micros(1_790_000_030_000_000),
        }),
        Some(step) => WorkflowEvent::StepSucceeded(StepSucceeded {
            workflow_id: workflow_id(n),
            step: (*step).to_owned(),
            output: Json::from_text(r#"{"id":"remote-1","version":"7"}"#),
            skipped: false,
            compensation: None,
        }),
        None => WorkflowEvent::Succeeded(WorkflowSucceeded {
            workflow_id: workflow_id(n),
        }),
    };
    in_workflow(n, version, event)
}

/// The whole life of run `n`: ten events.
pub(crate) fn workflow(n: usize) -> Vec<Recorded<WorkflowEvent>> {
    let mut events = vec![workflow_started(n)];
    events.extend((2..=10).map(|version| workflow_goes_on(n, version)));
    events
}

fn digest(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(Sha256::digest(text))
}
