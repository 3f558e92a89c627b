//! Customer support: sorts a ticket and drafts a reply.

use serde_json::{Map, Value, json};

use super::findings::{Amount, amounts, count, gives_orders, references};
use crate::input::{Earlier, history, number_at, one_line, prose, text_at};

/// From this amount on, a human decides.
const ESCALATE_FROM: f64 = 500.0;

/// What tells a category; the first with the most words wins.
const CATEGORIES: [(&str, &[&str]); 6] = [
    (
        "billing",
        &[
            "refund",
            "charge",
            "invoice",
            "payment",
            "paid",
            "price",
            "twice",
            "double",
            "credit card",
            "money back",
            "billing",
            "overcharge",
        ],
    ),
    (
        "shipping",
        &[
            "deliver", "shipp", "shipment", "parcel", "package", "tracking", "arrive", "courier",
            "lost in", "late",
        ],
    ),
    (
        "account",
        &[
            "password",
            "log in",
            "login",
            "locked",
            "sign in",
            "two-factor",
            "2fa",
            "my account",
            "username",
            "reset",
        ],
    ),
    (
        "technical",
        &[
            "error",
            "crash",
            "bug",
            "broken",
            "not work",
            "does not load",
            "fails",
            "slow",
            "timeout",
            "outage",
            "500",
        ],
    ),
    (
        "cancellation",
        &[
            "cancel",
            "unsubscribe",
            "terminate",
            "end my subscription",
            "close my account",
        ],
    ),
    (
        "product",
        &[
            "how do i",
            "how can i",
            "feature",
            "question",
            "documentation",
            "is it possible",
        ],
    ),
];

const NEGATIVE: &[&str] = &[
    "angry",
    "annoy",
    "awful",
    "bad",
    "complain",
    "disappoint",
    "frustrat",
    "horrible",
    "never again",
    "no answer",
    "not acceptable",
    "outrag",
    "ridiculous",
    "scam",
    "terrible",
    "unacceptable",
    "upset",
    "useless",
    "worst",
    "still waiting",
    "twice",
    "again",
];
const POSITIVE: &[&str] = &[
    "thank",
    "great",
    "happy",
    "love",
    "excellent",
    "appreciate",
    "wonderful",
    "perfect",
    "pleased",
];
const PRESSING: &[&str] = &[
    "urgent",
    "immediately",
    "asap",
    "right now",
    "emergency",
    "today",
    "as soon as possible",
];
const GRAVE: &[&str] = &[
    "lawyer",
    "legal action",
    "attorney",
    "lawsuit",
    "sue ",
    "chargeback",
    "fraud",
    "police",
    "data breach",
    "gdpr",
    "consumer protection",
    "stolen",
];

struct Ticket<'a> {
    id: Option<&'a str>,
    subject: String,
    name: Option<String>,
    amount: Option<Amount>,
    orders: Vec<String>,
    category: &'static str,
    sentiment: &'static str,
    gives_orders: bool,
    grave: bool,
    pressing: bool,
}

pub(crate) fn handle_ticket(arguments: &Map<String, Value>) -> Value {
    let empty = Value::Null;
    let case = arguments.get("ticket").unwrap_or(&empty);
    let ticket = read(case);
    let earlier = history(arguments, case);
    let related: Vec<&Earlier<'_>> = earlier
        .iter()
        .filter(|entry| is_related(&ticket, entry))
        .collect();

    let large = ticket
        .amount
        .as_ref()
        .is_some_and(|amount| amount.value >= ESCALATE_FROM);
    let insistent = related.len() >= 2;
    let escalate = large || ticket.grave || insistent || ticket.gives_orders;
    let priority = if ticket.grave || (large && ticket.pressing) {
        "urgent"
    } else if large
        || insistent
        || ticket.pressing
        || (ticket.sentiment == "negative" && ticket.category == "billing")
    {
        "high"
    } else if ticket.sentiment == "negative"
        || matches!(ticket.category, "billing" | "technical" | "shipping")
    {
        "medium"
    } else {
        "low"
    };
    json!({
        "category": ticket.category,
        "priority": priority,
        "sentiment": ticket.sentiment,
        "summary": summary(&ticket, earlier.len(), related.len()),
        "reply": reply(&ticket, &related, escalate),
        "escalate": escalate,
    })
}

/// Takes a drafted reply back. Nothing has been sent by this server itself, so
/// what is left is to say so, for the record and for whoever shows drafts.
pub(crate) fn retract_reply(arguments: &Map<String, Value>) -> Value {
    let empty = Value::Null;
    let case = arguments.get("ticket").unwrap_or(&empty);
    let given = match arguments.get("ticket_id") {
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    };
    let id = given.or_else(|| text_at(case, &["/ticket_id", "/id", "/number"]).map(str::to_owned));
    let about = id.map_or_else(
        || "the ticket".to_owned(),
        |id| format!("ticket {}", one_line(&id, 80)),
    );
    json!({
        "retracted": true,
        "summary": format!("The drafted reply to {about} is withdrawn and must not be sent."),
    })
}

fn read(case: &Value) -> Ticket<'_> {
    let text = prose(case);
    let mut category = ("other", 0);
    for (name, words) in CATEGORIES {
        let found = count(&text, words);
        if found > category.1 {
            category = (name, found);
        }
    }
    let shouting = text.matches('!').count() >= 3;
    let negative = count(&text, NEGATIVE) + usize::from(shouting);
    let positive = count(&text, POSITIVE);
    let mut orders = references(&text);
    if let Some(order) = text_at(case, &["/order_id", "/order", "/order_number"])
        && !orders.iter().any(|known| known == order)
    {
        orders.insert(0, one_line(order, 40));
    }
    Ticket {
        id: text_at(case, &["/ticket_id", "/id", "/number"]),
        subject: one_line(text_at(case, &["/subject", "/title"]).unwrap_or(&text), 80),
        name: text_at(
            case,
            &[
                "/customer/name",
                "/customer/first_name",
                "/requester/name",
                "/user/name",
                "/name",
                "/from/name",
            ],
        )
        .map(|name| one_line(name, 60)),
        amount: amount(case, &text),
        orders,
        category: category.0,
        sentiment: match negative.cmp(&positive) {
            std::cmp::Ordering::Greater => "negative",
            std::cmp::Ordering::Equal => "neutral",
            std::cmp::Ordering::Less => "positive",
        },
        gives_orders: gives_orders(&text),
        grave: count(&text, GRAVE) > 0,
        pressing: count(&text, PRESSING) > 0,
    }
}

/// The field counts before the text; the text tells the currency.
fn amount(case: &Value, text: &str) -> Option<Amount> {
    let written = amounts(text);
    let Some(value) = number_at(case, &["/amount", "/total", "/order/amount", "/value"]) else {
        return written
            .into_iter()
            .max_by(|a, b| a.value.total_cmp(&b.value));
    };
    let currency = written
        .iter()
        .find(|amount| (amount.value - value).abs() < 0.005)
        .or_else(|| written.first())
        .map_or("EUR", |amount| amount.currency);
    Some(Amount { value, currency })
}

/// The same order, or the same kind of trouble.
fn is_related(ticket: &Ticket<'_>, entry: &Earlier<'_>) -> bool {
    let before = read(entry.content);
    before
        .orders
        .iter()
        .any(|order| ticket.orders.contains(order))
        || (before.category == ticket.category && ticket.category != "other")
}

fn summary(ticket: &Ticket<'_>, earlier: usize, related: usize) -> String {
    let who = ticket.name.as_deref().unwrap_or("A customer");
    let mut summary = format!("{who} writes about {}", topic(ticket.category));
    if let Some(order) = ticket.orders.first() {
        summary.push_str(&format!(", order {order}"));
    }
    if let Some(amount) = &ticket.amount {
        summary.push_str(&format!(", {amount}"));
    }
    summary.push_str(&format!(": {}.", ticket.subject.trim_end_matches('.')));
    if related > 0 {
        summary.push_str(&format!(
            " {related} of {earlier} earlier messages are about the same."
        ));
    } else if earlier > 0 {
        summary.push_str(&format!(" {earlier} earlier messages, about other things."));
    }
    if ticket.gives_orders {
        summary.push_str(
            " The text tries to give instructions to its reader; they were not followed.",
        );
    }
    summary
}

fn topic(category: &str) -> &'static str {
    match category {
        "billing" => "a billing problem",
        "shipping" => "a delivery",
        "account" => "access to their account",
        "technical" => "a technical problem",
        "cancellation" => "a cancellation",
        "product" => "how the product works",
        _ => "something else",
    }
}

fn reply(ticket: &Ticket<'_>, related: &[&Earlier<'_>], escalate: bool) -> String {
    let name = ticket.name.as_deref().unwrap_or("customer");
    let order = ticket.orders.first();
    let subject = match order {
        Some(order) => format!("about order {order}"),
        None => format!("about \"{}\"", ticket.subject),
    };
    let mut reply = vec![
        format!("Dear {name},"),
        format!("thank you for writing to us {subject}."),
    ];
    if let Some(before) = related.last() {
        let what = text_at(before.content, &["/subject", "/title"]).unwrap_or(before.kind);
        let when = before
            .at
            .get(..10)
            .filter(|day| !day.contains(char::is_control));
        reply.push(match when {
            Some(day) => format!(
                "We also have your earlier message of {day}, \"{}\", and handle both together.",
                one_line(what, 80)
            ),
            None => format!(
                "We also have your earlier message \"{}\" and handle both together.",
                one_line(what, 80)
            ),
        });
    }
    let amount = ticket.amount.as_ref().map(Amount::to_string);
    let amount = amount.as_deref();
    reply.push(match ticket.category {
        "billing" => match amount {
            Some(amount) => format!(
                "We are checking the charge of {amount} with our billing team; whatever was charged by mistake will be paid back to the same card or account."
            ),
            None => "We are checking your charges with our billing team; whatever was charged by mistake will be paid back.".to_owned(),
        },
        "shipping" => "We are asking the carrier where it is and will tell you the day we expect it.".to_owned(),
        "account" => "For your safety we never ask for your password; you will get a separate message with the steps to get back in.".to_owned(),
        "technical" => "Our engineers have what you wrote; if there is a way around it, you will hear of it first.".to_owned(),
        "cancellation" => "We will confirm the end date and anything still open in writing.".to_owned(),
        "product" => "We are putting together the answer with the pages that describe it.".to_owned(),
        _ => "We are reading it and will come back to you.".to_owned(),
    });
    if ticket.sentiment == "negative" {
        reply.push("We are sorry for the trouble this has caused you.".to_owned());
    }
    if escalate {
        reply.push("A colleague will look at it in person.".to_owned());
    }
    if let Some(id) = ticket.id {
        reply.push(format!("Your reference is {}.", one_line(id, 40)));
    }
    reply.push("Kind regards, Customer Support".to_owned());
    reply.join("\n")
}

#[cfg(test)]
mod tests;
