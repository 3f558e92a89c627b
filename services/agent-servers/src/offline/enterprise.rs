//! Requests of employees: what they need, and which access a role calls for.

use serde_json::{Map, Value, json};

use super::findings::{count, gives_orders};
use crate::input::{history, one_line, prose, text_at};

/// Systems everybody gets.
const FOR_ALL: [&str; 3] = ["email", "calendar", "intranet"];

/// What a department works with, and whether somebody has to approve it.
const BY_DEPARTMENT: [(&str, &[(&str, bool)]); 6] = [
    (
        "engineering",
        &[
            ("source-control", false),
            ("issue-tracker", false),
            ("cloud-console", true),
        ],
    ),
    (
        "finance",
        &[("erp", true), ("expenses", false), ("banking-portal", true)],
    ),
    ("sales", &[("crm", false), ("quotes", false)]),
    ("support", &[("crm", false), ("ticketing", false)]),
    ("people", &[("hris", true), ("recruiting", false)]),
    ("marketing", &[("crm", false), ("analytics", false)]),
];

/// Systems that are never granted without approval, whoever asks.
const SENSITIVE: [&str; 6] = [
    "erp",
    "hris",
    "banking-portal",
    "cloud-console",
    "production",
    "identity-provider",
];

const TOPICS: [(&str, &[&str]); 5] = [
    (
        "access",
        &[
            "access",
            "permission",
            "account",
            "license",
            "log in",
            "login",
            "group",
        ],
    ),
    (
        "hardware",
        &[
            "laptop", "monitor", "keyboard", "phone", "headset", "charger", "dock",
        ],
    ),
    (
        "time-off",
        &["vacation", "holiday", "leave", "sick", "day off"],
    ),
    (
        "payroll",
        &[
            "salary",
            "payslip",
            "payroll",
            "bonus",
            "tax",
            "expense",
            "reimburse",
        ],
    ),
    (
        "facilities",
        &["desk", "office", "badge", "parking", "room", "heating"],
    ),
];

const PRESSING: &[&str] = &[
    "urgent",
    "immediately",
    "asap",
    "today",
    "blocked",
    "cannot work",
    "as soon as possible",
];

pub(crate) fn provision_access(arguments: &Map<String, Value>) -> Value {
    let empty = Value::Null;
    let employee = arguments.get("employee").unwrap_or(&empty);
    let name = text_at(employee, &["/name", "/full_name"]).unwrap_or("the employee");
    let name = one_line(name, 60);
    let department = text_at(employee, &["/department", "/team"])
        .unwrap_or("")
        .to_lowercase();

    let mut grants: Vec<Value> = FOR_ALL
        .iter()
        .map(|system| grant(system, "member", "everybody works with it"))
        .collect();
    let mut approvals = Vec::new();
    let usual = BY_DEPARTMENT
        .iter()
        .find(|(known, _)| department.contains(known))
        .map_or(&[][..], |(_, systems)| *systems);
    for (system, needs_approval) in usual {
        let reason = format!("{} works with it", one_line(&department, 40));
        if *needs_approval {
            approvals.push(approval(system, &reason));
        } else {
            grants.push(grant(system, "member", &reason));
        }
    }
    // What is asked for beyond the usual is somebody's decision, not ours.
    let asked = arguments.get("systems").and_then(Value::as_array);
    for system in asked.into_iter().flatten().filter_map(Value::as_str) {
        let system = one_line(&system.to_lowercase(), 60);
        let known = grants
            .iter()
            .chain(&approvals)
            .any(|entry| entry["system"] == system.as_str());
        if known || system.is_empty() {
            continue;
        }
        let reason = if SENSITIVE.contains(&system.as_str()) {
            "it is sensitive"
        } else {
            "it is not usual for the department"
        };
        approvals.push(approval(&system, reason));
    }
    let summary = format!(
        "{name} gets {} systems at once; {} wait for approval.",
        grants.len(),
        approvals.len()
    );
    json!({"grants": grants, "approvals": approvals, "summary": summary})
}

/// Takes the grants of an earlier answer back.
pub(crate) fn revoke_access(arguments: &Map<String, Value>) -> Value {
    let revoked: Vec<String> = arguments
        .get("grants")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|grant| text_at(grant, &["/system"]))
        .map(|system| one_line(system, 60))
        .collect();
    let summary = format!("{} grants are taken back.", revoked.len());
    json!({"revoked": revoked, "summary": summary})
}

pub(crate) fn summarise_employee_request(arguments: &Map<String, Value>) -> Value {
    let empty = Value::Null;
    let request = arguments.get("request").unwrap_or(&empty);
    let text = prose(request);
    let mut topic = ("other", 0);
    for (name, words) in TOPICS {
        let found = count(&text, words);
        if found > topic.1 {
            topic = (name, found);
        }
    }
    let earlier = history(arguments, request).len();
    let pressing = count(&text, PRESSING) > 0;
    let suspicious = gives_orders(&text);
    let name = text_at(request, &["/employee/name", "/requester/name", "/name"])
        .map_or_else(|| "An employee".to_owned(), |name| one_line(name, 60));
    let subject = one_line(
        text_at(request, &["/subject", "/title"]).unwrap_or(&text),
        100,
    );
    let owner = match topic.0 {
        "access" | "hardware" => "IT",
        "time-off" | "payroll" => "People",
        "facilities" => "Facilities",
        _ => "the service desk",
    };
    let mut actions = vec![format!("{owner}: answer \"{subject}\"")];
    if pressing {
        actions.push(format!("{owner}: confirm receipt today"));
    }
    if suspicious {
        actions.push("Security: look at the text, it gives instructions to its reader".to_owned());
    }
    let mut summary = format!("{name} asks about {}: {subject}.", topic.0);
    if earlier > 0 {
        summary.push_str(&format!(" There are {earlier} earlier messages."));
    }
    json!({
        "category": topic.0,
        "urgency": if pressing { "high" } else { "normal" },
        "summary": summary,
        "action_items": actions,
        "escalate": suspicious,
    })
}

fn grant(system: &str, role: &str, reason: &str) -> Value {
    json!({"system": system, "role": role, "reason": reason})
}

fn approval(system: &str, reason: &str) -> Value {
    json!({"system": system, "reason": reason})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_department_gets_its_systems_and_the_sensitive_ones_wait() {
        let arguments = json!({
            "employee": {"name": "Grace Hopper", "department": "Finance"},
            "systems": ["ERP", "crm", "production"],
        });
        let answer = provision_access(arguments.as_object().unwrap());
        let systems = |list: &str| -> Vec<String> {
            let entries = answer[list].as_array().unwrap().iter();
            entries
                .map(|entry| entry["system"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(
            systems("grants"),
            ["email", "calendar", "intranet", "expenses"]
        );
        assert_eq!(
            systems("approvals"),
            ["erp", "banking-portal", "crm", "production"]
        );
        let undo = json!({"grants": answer["grants"]});
        let revoked = revoke_access(undo.as_object().unwrap());
        assert_eq!(revoked["revoked"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_request_is_summarised_for_whoever_has_to_act() {
        let arguments = json!({"request": {
            "employee": {"name": "Grace Hopper"}, "subject": "Access to the CRM",
            "body": "I am blocked, I need access to the sales group today",
        }});
        let answer = summarise_employee_request(arguments.as_object().unwrap());
        assert_eq!(answer["category"], "access");
        assert_eq!(answer["urgency"], "high");
        assert_eq!(answer["escalate"], false);
        assert!(
            answer["summary"]
                .as_str()
                .unwrap()
                .starts_with("Grace Hopper asks about access")
        );
    }
}
