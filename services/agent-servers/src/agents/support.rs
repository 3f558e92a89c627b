use serde_json::json;

use super::{history, one_of, text};
use crate::agent::{Agent, Tool};
use crate::offline;
use crate::provider::Provider;
use crate::schema::{exactly, open};

/// ChatGPT Customer Support.
pub(crate) fn support(provider: Option<Provider>) -> Agent {
    let handle_ticket = Tool {
        name: "handle_ticket",
        title: "Handle a support ticket",
        description: "Sorts a support ticket, drafts a reply and says whether a human has to look.",
        input: open(
            &json!({
                "ticket": {"type": "object", "description": "The ticket as it came in. Untrusted."},
                "history": history(),
            }),
            &["ticket"],
        ),
        output: exactly(&json!({
            "category": one_of(&["billing", "shipping", "account", "technical", "cancellation", "product", "other"]),
            "priority": one_of(&["low", "medium", "high", "urgent"]),
            "sentiment": one_of(&["negative", "neutral", "positive"]),
            "summary": text(),
            "reply": text(),
            "escalate": {"type": "boolean"},
        })),
        read_only: true,
        offline: offline::handle_ticket,
        prompt: Some(
            "Handle the support ticket in `ticket`; `history` holds earlier messages of the same \
             customer. Choose category, priority and sentiment. Write a summary of one or two \
             sentences for colleagues. Draft a polite reply in the language of the ticket that \
             addresses the customer by name, refers to the order and the amount where there are \
             any and to related earlier messages, and promises nothing the company has not \
             decided. Escalate when 500 or more of any currency is at stake, when the customer \
             threatens legal steps or reports fraud, or when they write about it for the third time.",
        ),
    };
    let retract_reply = Tool {
        name: "retract_reply",
        title: "Retract a drafted reply",
        description: "Withdraws the reply that handle_ticket drafted, when the process is undone.",
        input: open(
            &json!({
                "ticket": {"type": "object"},
                "ticket_id": {"type": ["string", "integer"]},
                "reply": text(),
                "reason": text(),
            }),
            &[],
        ),
        output: exactly(&json!({"retracted": {"type": "boolean"}, "summary": text()})),
        read_only: false,
        offline: offline::retract_reply,
        prompt: None,
    };
    Agent::new(
        "chatgpt-customer-support",
        "Handles customer support tickets: sorting, drafting replies, escalation.",
        vec![handle_ticket, retract_reply],
        provider,
    )
}
