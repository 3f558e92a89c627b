//! Records and properties, and the checks a CRM makes of them.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Property values by name. HubSpot keeps every value as a string.
pub(crate) type Properties = BTreeMap<String, Option<String>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CrmRecord {
    /// Decimal digits, unique across all objects.
    pub(crate) id: String,
    pub(crate) properties: Properties,
    /// RFC 3339, milliseconds.
    #[serde(rename = "createdAt")]
    pub(crate) created_at: String,
    #[serde(rename = "updatedAt")]
    pub(crate) updated_at: String,
    pub(crate) archived: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PropertyDefinition {
    pub(crate) name: String,
    pub(crate) label: String,
    #[serde(rename = "type")]
    pub(crate) value_type: String,
    pub(crate) field_type: String,
    pub(crate) group_name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) options: Vec<serde_json::Value>,
    #[serde(default)]
    pub(crate) has_unique_value: bool,
}

/// Why a request about records is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotFound {
        object: String,
        id: String,
    },
    UnknownProperty {
        name: String,
    },
    NotUnique {
        name: String,
    },
    Duplicate {
        property: String,
        value: String,
        existing: String,
    },
    PropertyExists {
        name: String,
    },
    InvalidObject {
        object: String,
    },
    MissingId,
    TooMany {
        inputs: usize,
    },
    /// The journal could not be written; nothing was changed.
    Unavailable,
}

/// All records of one object, with what is unique among them.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) records: BTreeMap<u64, CrmRecord>,
    pub(crate) definitions: BTreeMap<String, PropertyDefinition>,
    /// Property and value to record number, of unique properties only.
    unique: HashMap<(String, String), u64>,
}

impl Collection {
    pub(crate) fn new(object: &str) -> Self {
        let definitions = standard_properties(object)
            .iter()
            .map(|(name, unique)| ((*name).to_owned(), standard(name, *unique)))
            .collect();
        Self {
            definitions,
            ..Self::default()
        }
    }

    /// The number of the live record addressed by `id`, or by `property` when given.
    pub(crate) fn find(&self, id: &str, property: Option<&str>) -> Result<Option<u64>, Refusal> {
        match property {
            None | Some("hs_object_id") => Ok(id.parse().ok().filter(|number| {
                self.records
                    .get(number)
                    .is_some_and(|record| !record.archived)
            })),
            Some(name) => match self.definitions.get(name) {
                None => Err(Refusal::UnknownProperty {
                    name: name.to_owned(),
                }),
                Some(definition) if !definition.has_unique_value => Err(Refusal::NotUnique {
                    name: name.to_owned(),
                }),
                Some(_) => Ok(self
                    .unique
                    .get(&(name.to_owned(), normal(name, id)))
                    .copied()),
            },
        }
    }

    /// Whether `properties` may be written to record `number`, or to a new one.
    pub(crate) fn check(
        &self,
        number: Option<u64>,
        properties: &Properties,
    ) -> Result<(), Refusal> {
        for (name, value) in properties {
            let Some(definition) = self.definitions.get(name) else {
                return Err(Refusal::UnknownProperty { name: name.clone() });
            };
            let Some(value) = value.as_ref().filter(|_| definition.has_unique_value) else {
                continue;
            };
            let holder = self.unique.get(&(name.clone(), normal(name, value)));
            if let Some(holder) = holder.filter(|holder| Some(**holder) != number) {
                return Err(Refusal::Duplicate {
                    property: name.clone(),
                    value: value.clone(),
                    existing: holder.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Puts a record in its place, replacing what it was.
    pub(crate) fn put(&mut self, number: u64, record: CrmRecord) {
        if let Some(before) = self.records.remove(&number) {
            for key in self.unique_values(&before) {
                self.unique.remove(&key);
            }
        }
        // An archived record gives its unique values back.
        if !record.archived {
            for key in self.unique_values(&record) {
                self.unique.insert(key, number);
            }
        }
        self.records.insert(number, record);
    }

    fn unique_values(&self, record: &CrmRecord) -> Vec<(String, String)> {
        record
            .properties
            .iter()
            .filter(|(name, _)| {
                self.definitions
                    .get(*name)
                    .is_some_and(|definition| definition.has_unique_value)
            })
            .filter_map(|(name, value)| {
                value
                    .as_ref()
                    .map(|value| (name.clone(), normal(name, value)))
            })
            .collect()
    }
}

/// Email addresses are compared without regard to case.
fn normal(property: &str, value: &str) -> String {
    if property == "email" {
        value.to_lowercase()
    } else {
        value.to_owned()
    }
}

fn standard(name: &str, unique: bool) -> PropertyDefinition {
    PropertyDefinition {
        name: name.to_owned(),
        label: name.to_owned(),
        value_type: "string".to_owned(),
        field_type: "text".to_owned(),
        group_name: "standard".to_owned(),
        description: String::new(),
        options: Vec::new(),
        has_unique_value: unique,
    }
}

/// The properties a new portal has, as far as a support desk needs them; and
/// whether each is unique.
fn standard_properties(object: &str) -> &'static [(&'static str, bool)] {
    match object {
        "contacts" => &[
            ("hs_object_id", false),
            ("createdate", false),
            ("lastmodifieddate", false),
            ("email", true),
            ("firstname", false),
            ("lastname", false),
            ("phone", false),
            ("company", false),
            ("jobtitle", false),
            ("lifecyclestage", false),
        ],
        "companies" => &[
            ("hs_object_id", false),
            ("createdate", false),
            ("hs_lastmodifieddate", false),
            ("name", false),
            ("domain", false),
            ("city", false),
            ("industry", false),
        ],
        "deals" => &[
            ("hs_object_id", false),
            ("createdate", false),
            ("hs_lastmodifieddate", false),
            ("dealname", false),
            ("dealstage", false),
            ("pipeline", false),
            ("amount", false),
            ("closedate", false),
        ],
        _ => &[
            ("hs_object_id", false),
            ("createdate", false),
            ("hs_lastmodifieddate", false),
            ("subject", false),
            ("content", false),
            ("hs_pipeline", false),
            ("hs_pipeline_stage", false),
            ("hs_ticket_priority", false),
            ("hs_ticket_category", false),
            ("hs_resolution", false),
            ("source_type", false),
        ],
    }
}

/// The objects the sandbox has.
pub(crate) const OBJECTS: [&str; 4] = ["companies", "contacts", "deals", "tickets"];
