//! Search by property values: filters in a group must all hold, one group must.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Failure;
use super::object::shown;
use crate::Store;
use crate::model::CrmRecord;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Search {
    #[serde(default)]
    filter_groups: Vec<FilterGroup>,
    #[serde(default)]
    properties: Option<Vec<String>>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
struct FilterGroup {
    filters: Vec<Filter>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    property_name: String,
    operator: Operator,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Operator {
    Eq,
    Neq,
    In,
    HasProperty,
    NotHasProperty,
    ContainsToken,
}

pub(super) async fn search(
    State(store): State<Store>,
    Path(object): Path<String>,
    search: Result<Json<Search>, JsonRejection>,
) -> Result<Json<Value>, Failure> {
    let search = search?.0;
    let after = match &search.after {
        None => 0,
        Some(text) => text
            .parse()
            .map_err(|_| Failure::InvalidInput(format!("after is not a paging token: {text}")))?,
    };
    let limit = search.limit.unwrap_or(10).clamp(1, 200);
    let found = store.page(&object, 0, usize::MAX, |record| search.accepts(record))?;
    let total = found.len();
    let rest: Vec<_> = found
        .iter()
        .filter(|record| record.id.parse().is_ok_and(|number: u64| number > after))
        .collect();
    let results: Vec<_> = rest
        .iter()
        .take(limit)
        .map(|record| shown(record, search.properties.as_deref()))
        .collect();
    let mut answer = json!({ "total": total, "results": results });
    if rest.len() > limit
        && let Some(last) = rest.get(limit - 1)
    {
        answer["paging"] = json!({ "next": { "after": last.id } });
    }
    Ok(Json(answer))
}

impl Search {
    fn accepts(&self, record: &CrmRecord) -> bool {
        let groups = &self.filter_groups;
        !record.archived
            && (groups.is_empty()
                || groups
                    .iter()
                    .any(|group| group.filters.iter().all(|filter| filter.holds(record))))
    }
}

impl Filter {
    fn holds(&self, record: &CrmRecord) -> bool {
        let held = record
            .properties
            .get(&self.property_name)
            .and_then(Option::as_deref);
        let wanted = self.value.as_deref();
        match self.operator {
            Operator::Eq => held.is_some() && held == wanted,
            Operator::Neq => held != wanted,
            Operator::In => held.is_some_and(|held| self.values.iter().any(|value| value == held)),
            Operator::HasProperty => held.is_some(),
            Operator::NotHasProperty => held.is_none(),
            Operator::ContainsToken => held
                .zip(wanted)
                .is_some_and(|(held, wanted)| held.to_lowercase().contains(&wanted.to_lowercase())),
        }
    }
}
