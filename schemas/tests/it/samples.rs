//! One event of each kind, with every optional part present. The golden files
//! hold these very events: a sample is never changed, only added.

use domain_context::*;
use domain_dead_letter::*;
use domain_delivery::*;
use domain_effect::*;
use domain_execution::*;
use domain_kernel::*;
use domain_policy::*;
use domain_registry as registry;
use domain_workflow::*;
use registry::{RegistryEvent, Resource, ResourceDefined, ResourceKind, ResourceRetired};
use schemas::AnyEvent;
use uuid::Uuid;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x1111_2222_3333_5444_8555_0000_0000_0000 + n)
}

fn json(text: &str) -> Json {
    Json::from_text(text)
}

fn space() -> Space {
    Space::new("support")
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn time() -> Timestamp {
    Timestamp::from_micros(1_760_000_000_123_456)
}

pub(crate) fn all() -> Vec<AnyEvent> {
    let mut all = vec![
        AnyEvent::Delivery(DeliveryEvent::Accepted(accepted(r#"{"a":"ü"}"#.as_bytes()))),
        AnyEvent::Delivery(DeliveryEvent::Refused(DeliveryRefused {
            source_id: s("zapier"),
            space: space(),
            reason: RefusalReason::StaleTimestamp,
            detail: s("301 s old"),
            body_sha256: s("00ff"),
            body_size: 1_048_576,
        })),
        AnyEvent::Decision(PolicyEvent::Decided(PolicyDecided {
            decision_id: DecisionId::from_uuid(id(1)),
            path: s("mesh/ingest"),
            bundle_digest: s("sha256:ab"),
            input: json(r#"{"tenant":"acme"}"#),
            result: Some(json(r#"{"allow":true}"#)),
            allow: true,
            reasons: vec![s("known sender")],
            engine: s("regorus 0.14.1"),
            duration_us: 42,
        })),
    ];
    all.extend(contexts());
    all.extend(workflows());
    all.extend(executions());
    all.extend(effects());
    all.extend(registry());
    all.extend(dead_letters());
    all
}

/// What a sample says in an older version of its schema.
pub(crate) fn as_of(version: u32, event: &AnyEvent) -> AnyEvent {
    let mut event = event.clone();
    if version < 2
        && let AnyEvent::Outcome(EffectEvent::Confirmed(confirmed)) = &mut event
    {
        confirmed.evidence = Evidence::Unstated;
    }
    event
}

pub(crate) fn accepted(body: &[u8]) -> DeliveryAccepted {
    DeliveryAccepted {
        source_id: s("zapier"),
        delivery_id: s("msg_1"),
        space: space(),
        scheme: s("standard-webhooks"),
        auth: AuthMethod::HmacSha256,
        key_id: Some(s("2026")),
        content_type: s("application/json"),
        body: body.to_vec(),
        body_sha256: s("00ff"),
        signed_headers: vec![
            (s("webhook-id"), s("msg_1")),
            (s("webhook-timestamp"), s("1")),
        ],
        event_type: s("support.ticket.created"),
        subject: Some(s("ada@example.com")),
        request: None,
        source_version: None,
        quarantine: None,
    }
}

fn contexts() -> Vec<AnyEvent> {
    let context_id = ContextId::from_uuid(id(2));
    vec![
        AnyEvent::Context(ContextEvent::Shared(ContextShared {
            context_id,
            space: space(),
            kind: s("support.ticket.created"),
            subject: s("ada@example.com"),
            delivery: EventId::from_uuid(id(3)),
            source_id: s("zapier"),
            content: json(r#"{"ticket_id":"T-1001"}"#),
            content_sha256: s("00ff"),
            text: s("charged twice"),
            model_digest: s("sha256:cd"),
            neighbour: Some(Neighbour {
                context_id: ContextId::from_uuid(id(4)),
                cosine: 0.96,
                kept_apart: s("numbers-differ"),
            }),
            subscribers: vec![s("tickets"), s("watchers")],
        })),
        AnyEvent::Context(ContextEvent::Merged(ContextMerged {
            context_id,
            space: space(),
            kind: s("support.ticket.created"),
            subject: s("ada@example.com"),
            delivery: EventId::from_uuid(id(5)),
            source_id: s("zapier"),
            content: json(r#"{"ticket_id":"T-1002"}"#),
            content_sha256: s("00fe"),
            model_digest: s("sha256:cd"),
            cosine: 0.991,
            exact: false,
        })),
        AnyEvent::Notification(NotificationEvent::Notified(SubscriberNotified {
            notification_id: NotificationId::from_uuid(id(6)),
            subscriber: s("tickets"),
            context_id,
            space: space(),
            kind: s("support.ticket.created"),
            subject: s("ada@example.com"),
            content: json(r#"{"ticket_id":"T-1001"}"#),
        })),
    ]
}

fn agent_call() -> ResolvedCall {
    ResolvedCall::Agent {
        agent_id: s("chatgpt-customer-support"),
        tool: s("handle_ticket"),
        arguments: json(r#"{"ticket":{}}"#),
    }
}

fn effect_call() -> ResolvedCall {
    ResolvedCall::Effect {
        connector_id: s("crm"),
        operation: Operation::Archive,
        object: s("tickets"),
        id_property: s("agentmesh_id"),
        external_id: s("T-1001"),
        properties: json("{}"),
    }
}

fn definition() -> Definition {
    Definition {
        name: s("support-ticket"),
        trigger: Trigger {
            kind: s("support.ticket.created"),
            space: space(),
            when: Some(Expression(s("true"))),
        },
        steps: vec![
            Step {
                name: s("triage"),
                when: None,
                call: Call::Agent(AgentCall {
                    id: s("chatgpt-customer-support"),
                    tool: s("handle_ticket"),
                    arguments: [(s("ticket"), Expression(s("trigger.content")))].into(),
                }),
                deadline_ms: 30_000,
                compensate: Some(Compensation {
                    call: Call::Agent(AgentCall {
                        id: s("chatgpt-customer-support"),
                        tool: s("retract_reply"),
                        arguments: [].into(),
                    }),
                    deadline_ms: 10_000,
                }),
            },
            Step {
                name: s("crm"),
                when: Some(Expression(s("steps.triage.output.escalate"))),
                call: Call::Effect(EffectCall {
                    connector: s("crm"),
                    operation: Operation::Upsert,
                    object: s("tickets"),
                    id_property: s("agentmesh_id"),
                    external_id: Expression(s("trigger.content.ticket_id")),
                    properties: [(s("subject"), Expression(s("'x'")))].into(),
                }),
                deadline_ms: 60_000,
                compensate: None,
            },
        ],
    }
}

fn workflows() -> Vec<AnyEvent> {
    let workflow_id = WorkflowId::from_uuid(id(7));
    [
        WorkflowEvent::Started(WorkflowStarted {
            workflow_id,
            definition_id: s("support-ticket"),
            definition_digest: s("sha256:ef"),
            definition: definition(),
            trigger: TriggeredBy {
                context_id: ContextId::from_uuid(id(2)),
                kind: s("support.ticket.created"),
                space: space(),
                subject: s("ada@example.com"),
                content: json(r#"{"ticket_id":"T-1001"}"#),
            },
        }),
        WorkflowEvent::StepStarted(StepStarted {
            workflow_id,
            step: s("triage"),
            call: agent_call(),
            space: space(),
            subject: s("ada@example.com"),
            deadline: time(),
        }),
        WorkflowEvent::StepSucceeded(StepSucceeded {
            workflow_id,
            step: s("triage"),
            output: json(r#"{"priority":"high"}"#),
            skipped: false,
            compensation: Some(PlannedCompensation {
                call: agent_call(),
                deadline_ms: 10_000,
            }),
        }),
        WorkflowEvent::StepFailed(StepFailed {
            workflow_id,
            step: s("crm"),
            code: s("deadline"),
            reason: s("no answer"),
            cancels: Some(effect_call()),
        }),
        WorkflowEvent::CompensationStarted(CompensationStarted {
            workflow_id,
            step: s("crm"),
            call: effect_call(),
            space: space(),
            subject: s("ada@example.com"),
            attempt: 1,
            deadline: time(),
        }),
        WorkflowEvent::StepCompensated(StepCompensated {
            workflow_id,
            step: s("triage"),
        }),
        WorkflowEvent::Succeeded(WorkflowSucceeded { workflow_id }),
        WorkflowEvent::Compensated(WorkflowCompensated {
            workflow_id,
            failed_step: s("crm"),
            reason: s("no answer"),
        }),
        WorkflowEvent::Parked(WorkflowParked {
            workflow_id,
            step: s("triage"),
            reason: s("cannot retract"),
        }),
    ]
    .map(AnyEvent::Workflow)
    .into()
}

fn executions() -> Vec<AnyEvent> {
    let execution_id = ExecutionId::from_uuid(id(8));
    let workflow_id = WorkflowId::from_uuid(id(7));
    let step = s("triage");
    let agent_id = s("chatgpt-customer-support");
    vec![
        AnyEvent::Execution(ExecutionRequest::Requested(ExecutionRequested {
            execution_id,
            workflow_id,
            step: step.clone(),
            compensation: false,
            agent_id: agent_id.clone(),
            tool: s("handle_ticket"),
            arguments: json(r#"{"ticket":{}}"#),
            space: space(),
            subject: s("ada@example.com"),
            deadline: time(),
        })),
        AnyEvent::Execution(ExecutionRequest::Cancelled(ExecutionCancelled {
            execution_id,
            workflow_id,
            step: step.clone(),
            reason: s("deadline"),
        })),
        AnyEvent::Result(ExecutionEvent::Started(ExecutionStarted {
            execution_id,
            workflow_id,
            step: step.clone(),
            agent_id: agent_id.clone(),
            tool: s("handle_ticket"),
            shown: vec![ContextId::from_uuid(id(2)), ContextId::from_uuid(id(4))],
            arguments_sha256: s("00ff"),
            attempt: 2,
        })),
        AnyEvent::Result(ExecutionEvent::Succeeded(ExecutionSucceeded {
            execution_id,
            workflow_id,
            step: step.clone(),
            compensation: false,
            agent_id: agent_id.clone(),
            output: json(r#"{"priority":"high"}"#),
            model: s("offline-rules-1"),
            duration_ms: 12,
        })),
        AnyEvent::Result(ExecutionEvent::Failed(ExecutionFailed {
            execution_id,
            workflow_id,
            step,
            compensation: true,
            agent_id,
            code: s("unreachable"),
            reason: s("connection refused"),
            duration_ms: 3,
        })),
    ]
}

fn effects() -> Vec<AnyEvent> {
    let effect_id = EffectId::from_uuid(id(9));
    let workflow_id = WorkflowId::from_uuid(id(7));
    let step = s("crm");
    let connector_id = s("hubspot");
    vec![
        AnyEvent::Effect(EffectRequest::Requested(EffectRequested {
            effect_id,
            workflow_id,
            step: step.clone(),
            compensation: false,
            connector_id: connector_id.clone(),
            operation: Operation::Upsert,
            object: s("tickets"),
            id_property: s("agentmesh_id"),
            external_id: s("T-1001"),
            properties: json(r#"{"subject":"Refund"}"#),
            deadline: time(),
        })),
        AnyEvent::Effect(EffectRequest::Cancelled(EffectCancelled {
            effect_id,
            workflow_id,
            step: step.clone(),
            connector_id: connector_id.clone(),
            object: s("tickets"),
            external_id: s("T-1001"),
            reason: s("deadline"),
        })),
        AnyEvent::Outcome(EffectEvent::Attempted(EffectAttempted {
            effect_id,
            workflow_id,
            step: step.clone(),
            connector_id: connector_id.clone(),
            operation: Operation::Create,
            object: s("tickets"),
            external_id: s("T-1001"),
            attempt: 1,
        })),
        AnyEvent::Outcome(EffectEvent::Confirmed(EffectConfirmed {
            effect_id,
            workflow_id,
            step: step.clone(),
            compensation: false,
            connector_id: connector_id.clone(),
            remote_id: s("512"),
            remote_version: s("2026-01-01T00:00:00Z"),
            properties_sha256: s("00ff"),
            evidence: Evidence::Reading,
        })),
        AnyEvent::Outcome(EffectEvent::Failed(EffectFailed {
            effect_id,
            workflow_id,
            step: step.clone(),
            compensation: true,
            connector_id: connector_id.clone(),
            code: s("rejected"),
            reason: s("400"),
        })),
        AnyEvent::Outcome(EffectEvent::Unknown(EffectUnknown {
            effect_id,
            workflow_id,
            step: step.clone(),
            connector_id: connector_id.clone(),
            reason: s("timeout"),
        })),
        AnyEvent::Outcome(EffectEvent::Reconciled(EffectReconciled {
            effect_id,
            workflow_id,
            step,
            connector_id,
            found: true,
            remote_id: Some(s("512")),
        })),
    ]
}

fn dead_letters() -> Vec<AnyEvent> {
    let letter = Letter {
        letter_id: EventId::from_uuid(id(10)),
        consumer: s("sync"),
        topic: s("mesh.effects"),
        partition: 3,
        offset: 1_234_567,
    };
    [
        DeadLetterEvent::Redriven(DeadLetterRedriven {
            letter: letter.clone(),
            occurrence: 1,
            operator: s("ada"),
            note: Some(s("the connector is mended")),
        }),
        DeadLetterEvent::Discarded(DeadLetterDiscarded {
            letter,
            occurrence: 2,
            operator: s("ada"),
            reason: s("a test record"),
        }),
    ]
    .map(AnyEvent::DeadLetter)
    .into()
}

fn registry() -> Vec<AnyEvent> {
    let secret = registry::Secret {
        id: s("2026"),
        sealed: s("c2VhbGVk"),
        valid_from: Some(time()),
        valid_until: None,
    };
    let resources = [
        Resource::Source(registry::Source {
            space: space(),
            scheme: s("standard-webhooks"),
            secrets: vec![secret.clone()],
            event_type_pointer: Some(s("/event_type")),
            event_type: None,
            subject_pointer: Some(s("/payload/customer/email")),
            text_pointers: vec![s("/payload/subject"), s("/payload/body")],
            content_pointer: Some(s("/payload")),
            signing: None,
            event_types: Vec::new(),
        }),
        Resource::Agent(registry::Agent {
            name: s("ChatGPT Customer Support"),
            endpoint: s("http://127.0.0.1:3010/chatgpt-customer-support/mcp"),
            tools: vec![s("handle_ticket")],
            timeout_ms: 30_000,
        }),
        Resource::Policy(registry::Policy {
            modules: vec![(s("ingest.rego"), s("package mesh"))],
            data: json("{}"),
        }),
        Resource::Subscription(registry::Subscription {
            space: space(),
            context_kind: s("support.ticket.created"),
            target: registry::SubscriptionTarget::Workflow {
                workflow: s("support-ticket"),
            },
        }),
        Resource::Workflow(registry::Workflow {
            yaml: s("name: support-ticket\n"),
            definition: json(r#"{"name":"support-ticket"}"#),
            digest: s("sha256:ef"),
        }),
        Resource::Connector(registry::Connector {
            system: s("hubspot"),
            base_url: s("http://127.0.0.1:3020"),
            credential: secret,
            timeout_ms: 10_000,
            max_attempts: 5,
        }),
        Resource::Key(registry::Key {
            subject: s("ada"),
            scopes: vec![s("invoke"), s("read")],
            secret_sha256: "0f".repeat(32),
            expires_at: Some(time()),
        }),
        Resource::Issuer(registry::Issuer {
            url: s("https://login.example.com"),
            audiences: vec![s("agentmesh")],
            algorithms: vec![s("RS256")],
            scopes: vec![s("invoke")],
        }),
        Resource::Certificate(registry::Certificate {
            name: s("CN=billing,O=Acme"),
            subject: s("billing"),
            scopes: vec![s("invoke")],
        }),
    ];
    resources
        .into_iter()
        .map(|resource| {
            RegistryEvent::Defined(ResourceDefined {
                id: s("sample"),
                tenant: TenantId::new("acme"),
                resource,
            })
        })
        .chain([RegistryEvent::Retired(ResourceRetired {
            kind: ResourceKind::Connector,
            id: s("sample"),
            tenant: TenantId::new("acme"),
        })])
        .map(AnyEvent::Registry)
        .collect()
}
