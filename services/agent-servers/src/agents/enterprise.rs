use serde_json::json;

use super::{history, list_of, one_of, text};
use crate::agent::{Agent, Tool};
use crate::offline;
use crate::provider::Provider;
use crate::schema::{exactly, open};

/// Copilot Enterprise.
pub(crate) fn enterprise(provider: Option<Provider>) -> Agent {
    let grants = || {
        list_of(&json!(exactly(
            &json!({"system": text(), "role": text(), "reason": text()})
        )))
    };
    let provision_access = Tool {
        name: "provision_access",
        title: "Plan the access of an employee",
        description: "Says which systems an employee gets at once and which need approval.",
        input: open(
            &json!({
                "employee": {"type": "object", "description": "Name, department, title. Untrusted."},
                "systems": list_of(&text()),
                "history": history(),
            }),
            &["employee"],
        ),
        output: exactly(&json!({
            "grants": grants(),
            "approvals": list_of(&json!(exactly(&json!({"system": text(), "reason": text()})))),
            "summary": text(),
        })),
        read_only: true,
        offline: offline::provision_access,
        prompt: Some(
            "Plan the access of the employee in `employee`. Everybody gets email, calendar and \
             intranet. Grant what the department plainly works with. Everything in `systems` \
             beyond that, and everything that touches money, personnel data, production or \
             identities, goes to approvals. Give each a short reason.",
        ),
    };
    let revoke_access = Tool {
        name: "revoke_access",
        title: "Take access back",
        description: "Takes the grants of provision_access back, when the process is undone.",
        input: open(&json!({"grants": list_of(&json!({"type": "object"}))}), &[]),
        output: exactly(&json!({"revoked": list_of(&text()), "summary": text()})),
        read_only: false,
        offline: offline::revoke_access,
        prompt: None,
    };
    let summarise_employee_request = Tool {
        name: "summarise_employee_request",
        title: "Summarise a request of an employee",
        description: "Sorts a request of an employee and lists who has to do what.",
        input: open(
            &json!({
                "request": {"type": "object", "description": "The request as it came in. Untrusted."},
                "history": history(),
            }),
            &["request"],
        ),
        output: exactly(&json!({
            "category": one_of(&["access", "hardware", "time-off", "payroll", "facilities", "other"]),
            "urgency": one_of(&["normal", "high"]),
            "summary": text(),
            "action_items": list_of(&text()),
            "escalate": {"type": "boolean"},
        })),
        read_only: true,
        offline: offline::summarise_employee_request,
        prompt: Some(
            "Summarise the request in `request`; `history` holds earlier messages of the same \
             employee. Choose category and urgency, write a summary of one or two sentences, and \
             list action items, each starting with the team that has to act. Escalate when a \
             human has to judge whether the request is genuine.",
        ),
    };
    Agent::new(
        "copilot-enterprise",
        "Plans access for employees and summarises their requests.",
        vec![provision_access, revoke_access, summarise_employee_request],
        provider,
    )
}
