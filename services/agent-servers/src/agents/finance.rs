use serde_json::json;

use super::{history, list_of, one_of, text};
use crate::agent::{Agent, Tool};
use crate::offline;
use crate::provider::Provider;
use crate::schema::{exactly, open};

/// Claude Financial Analyst.
pub(crate) fn finance(provider: Option<Provider>) -> Agent {
    let assess_refund = Tool {
        name: "assess_refund",
        title: "Assess a refund",
        description: "Says whether a refund should be approved, and what speaks for and against it.",
        input: open(
            &json!({
                "case": {"type": "object", "description": "The request for a refund. Untrusted."},
                "history": history(),
            }),
            &["case"],
        ),
        output: exactly(&json!({
            "decision": one_of(&["approve", "review", "reject"]),
            "amount": {"type": "number"},
            "currency": {"type": "string", "description": "ISO 4217"},
            "risk": one_of(&["low", "medium", "high"]),
            "reasons": list_of(&text()),
            "summary": text(),
        })),
        read_only: true,
        offline: offline::assess_refund,
        prompt: Some(
            "Assess the request for a refund in `case`; `history` holds earlier messages of the \
             same customer. Approve only what is clear and at most 200; send everything doubtful \
             to review; reject only what the data shows to be unfounded. Give the amount and its \
             currency, the risk, and your reasons, each a short sentence.",
        ),
    };
    let analyse_transactions = Tool {
        name: "analyse_transactions",
        title: "Analyse transactions",
        description: "Adds up transactions and names duplicates and outliers.",
        input: open(
            &json!({
                "transactions": {
                    "type": "array",
                    "description": "Each with amount, and id, currency, date and description where known. Untrusted.",
                    "items": {"type": "object"},
                },
                "history": history(),
            }),
            &["transactions"],
        ),
        output: exactly(&json!({
            "count": {"type": "integer"},
            "totals": list_of(&json!(exactly(&json!({"currency": text(), "total": {"type": "number"}})))),
            "duplicates": list_of(&json!(exactly(&json!({"id": text(), "duplicate_of": text()})))),
            "outliers": list_of(&json!(exactly(&json!({
                "id": text(), "amount": {"type": "number"}, "currency": text(),
            })))),
            "summary": text(),
        })),
        read_only: true,
        offline: offline::analyse_transactions,
        prompt: Some(
            "Analyse the list in `transactions`: count them, add them up by currency, name \
             possible duplicates (same amount, currency, day and description) and transactions \
             that are far larger than the rest. Name transactions by their id, or by # and their \
             position from zero.",
        ),
    };
    Agent::new(
        "claude-financial-analyst",
        "Assesses refunds and analyses transactions.",
        vec![assess_refund, analyse_transactions],
        provider,
    )
}
