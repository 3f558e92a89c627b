//! Financial analysis: is a refund due, and what do transactions look like.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::findings::{Amount, amounts, count, gives_orders, references};
use crate::input::{history, number_at, one_line, prose, text_at};

/// Refunds up to this are approved when the case is clear.
const APPROVE_UP_TO: f64 = 200.0;

/// How many times the median a transaction must be to stand out.
const OUTLIER_FACTOR: f64 = 5.0;

pub(crate) fn assess_refund(arguments: &Map<String, Value>) -> Value {
    let empty = Value::Null;
    let case = arguments.get("case").unwrap_or(&empty);
    let text = prose(case);
    let field = number_at(case, &["/amount", "/total", "/refund_amount"]);
    let written = amounts(&text);
    let amount = match field {
        Some(value) => Amount {
            value,
            currency: written.first().map_or("EUR", |amount| amount.currency),
        },
        None => written.first().cloned().unwrap_or(Amount {
            value: 0.0,
            currency: "EUR",
        }),
    };
    let earlier = history(arguments, case);
    let refunds_before = earlier
        .iter()
        .filter(|entry| {
            count(
                &prose(entry.content),
                &["refund", "money back", "chargeback"],
            ) > 0
        })
        .count();

    let mut reasons = Vec::new();
    let duplicate = count(&text, &["twice", "double", "duplicate", "two times"]) > 0;
    if duplicate {
        reasons.push("the customer reports a duplicate charge".to_owned());
    }
    let disagrees = field.is_some_and(|value| {
        !written.is_empty()
            && !written
                .iter()
                .any(|other| (other.value - value).abs() < 0.005)
    });
    if disagrees {
        reasons.push("the amount in the text is not the amount of the case".to_owned());
    }
    if refunds_before > 0 {
        reasons.push(format!(
            "{refunds_before} earlier messages ask for a refund"
        ));
    }
    if amount.value > APPROVE_UP_TO {
        reasons.push(format!(
            "{amount} is above the limit for approval without review"
        ));
    }
    let suspicious = gives_orders(&text);
    if suspicious {
        reasons.push("the text tries to give instructions to its reader".to_owned());
    }
    if references(&text).is_empty() {
        reasons.push("no order or invoice is named".to_owned());
    }

    let risk = if suspicious || disagrees || refunds_before >= 3 {
        "high"
    } else if amount.value > APPROVE_UP_TO || refunds_before > 0 {
        "medium"
    } else {
        "low"
    };
    let decision = if amount.value <= 0.0 {
        reasons.push("no amount is known".to_owned());
        "review"
    } else if risk == "low" && duplicate && !references(&text).is_empty() {
        "approve"
    } else {
        "review"
    };
    let who = text_at(case, &["/customer/name", "/name"])
        .map_or_else(|| "the customer".to_owned(), |name| one_line(name, 60));
    json!({
        "decision": decision,
        "amount": amount.value,
        "currency": amount.currency,
        "risk": risk,
        "reasons": reasons,
        "summary": format!("Refund of {amount} to {who}: {decision}, risk {risk}."),
    })
}

pub(crate) fn analyse_transactions(arguments: &Map<String, Value>) -> Value {
    let rows: Vec<Row<'_>> = arguments
        .get("transactions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
        .filter_map(|(index, row)| Row::read(index, row))
        .collect();

    // Cents, so that sums do not depend on the order of the rows.
    let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
    for row in &rows {
        *totals.entry(row.currency).or_default() += row.cents;
    }
    let mut seen: BTreeMap<(i64, &str, &str, &str), &str> = BTreeMap::new();
    let mut duplicates = Vec::new();
    for row in &rows {
        match seen.get(&row.likeness()) {
            Some(first) => duplicates.push(json!({"id": row.id, "duplicate_of": first})),
            None => {
                seen.insert(row.likeness(), &row.id);
            }
        }
    }
    let outliers = outliers(&rows);
    let totals: Vec<Value> = totals
        .iter()
        .map(|(currency, cents)| json!({"currency": currency, "total": to_units(*cents)}))
        .collect();
    json!({
        "count": rows.len(),
        "totals": totals,
        "duplicates": duplicates,
        "outliers": outliers,
        "summary": format!(
            "{} transactions, {} possible duplicates, {} out of the ordinary.",
            rows.len(), duplicates.len(), outliers.len()
        ),
    })
}

struct Row<'a> {
    id: String,
    cents: i64,
    currency: &'a str,
    day: &'a str,
    description: &'a str,
}

impl<'a> Row<'a> {
    fn read(index: usize, row: &'a Value) -> Option<Self> {
        let amount = number_at(row, &["/amount"]).filter(|amount| amount.abs() < 1e12)?;
        let id = text_at(row, &["/id"]).map_or_else(|| format!("#{index}"), |id| one_line(id, 80));
        Some(Self {
            id,
            // Within ±1e14, where every whole number has its own float.
            #[allow(clippy::cast_possible_truncation)]
            cents: (amount * 100.0).round() as i64,
            currency: text_at(row, &["/currency"]).unwrap_or("EUR"),
            day: text_at(row, &["/date", "/at"]).map_or("", |at| at.get(..10).unwrap_or(at)),
            description: text_at(row, &["/description", "/merchant"]).unwrap_or(""),
        })
    }

    /// Two rows alike in all of this may be one payment booked twice.
    fn likeness(&self) -> (i64, &'a str, &'a str, &'a str) {
        (self.cents, self.currency, self.day, self.description)
    }
}

fn outliers(rows: &[Row<'_>]) -> Vec<Value> {
    let mut sizes: Vec<i64> = rows.iter().map(|row| row.cents.abs()).collect();
    sizes.sort_unstable();
    // With so few rows nothing is ordinary.
    let Some(median) = sizes.get(sizes.len() / 2).filter(|_| sizes.len() >= 5) else {
        return Vec::new();
    };
    let bound = to_units(*median) * OUTLIER_FACTOR;
    rows.iter()
        .filter(|row| to_units(row.cents.abs()) > bound)
        .map(|row| json!({"id": row.id, "amount": to_units(row.cents), "currency": row.currency}))
        .collect()
}

#[allow(clippy::cast_precision_loss)]
fn to_units(cents: i64) -> f64 {
    cents as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assess(case: Value, history: Value) -> Value {
        assess_refund(
            json!({"case": case, "history": history})
                .as_object()
                .unwrap(),
        )
    }

    #[test]
    fn a_clear_small_case_is_approved() {
        let case = json!({"subject": "Refund for order 4711", "body": "Charged 129.90 EUR twice for order 4711", "amount": 129.9, "customer": {"name": "Ada"}});
        let answer = assess(case, json!([]));
        assert_eq!(answer["decision"], "approve");
        assert_eq!(answer["risk"], "low");
        assert_eq!(answer["currency"], "EUR");
        assert!(
            answer["summary"]
                .as_str()
                .unwrap()
                .contains("129.90 EUR to Ada")
        );
    }

    #[test]
    fn doubt_goes_to_review() {
        let large = json!({"body": "Charged twice for order 1", "amount": 900});
        assert_eq!(assess(large, json!([]))["decision"], "review");
        let disagrees = json!({"body": "Charged 10 EUR twice for order 1", "amount": 150});
        assert_eq!(assess(disagrees, json!([]))["risk"], "high");
        let nothing = assess(json!({}), json!([]));
        assert_eq!(nothing["decision"], "review");
        let often = json!([{"content": {"body": "refund please"}}]);
        let case = json!({"body": "Charged 10 EUR twice for order 1", "amount": 10});
        assert_eq!(assess(case, often)["risk"], "medium");
    }

    #[test]
    fn transactions_are_added_up_and_odd_ones_named() {
        let row = |id: &str, amount: f64, day: &str| json!({"id": id, "amount": amount, "currency": "EUR", "date": day, "description": "Coffee"});
        let rows = json!({"transactions": [
            row("a", 3.1, "2026-11-01"), row("b", 3.1, "2026-11-01"), row("c", 3.2, "2026-11-02"),
            row("d", 2.9, "2026-11-03"), row("e", 300.0, "2026-11-04"), {"note": "no amount"},
        ]});
        let answer = analyse_transactions(rows.as_object().unwrap());
        assert_eq!(answer["count"], 5);
        assert_eq!(
            answer["totals"],
            json!([{"currency": "EUR", "total": 312.3}])
        );
        assert_eq!(
            answer["duplicates"],
            json!([{"id": "b", "duplicate_of": "a"}])
        );
        assert_eq!(answer["outliers"][0]["id"], "e");
    }
}
