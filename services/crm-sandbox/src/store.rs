use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain_kernel::Timestamp;

use crate::Error;
use crate::journal::{Change, Journal};
use crate::model::{Collection, CrmRecord, OBJECTS, Properties, PropertyDefinition, Refusal};

/// All records, in memory and in the journal. Every change is on disk before
/// its caller hears of it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    journal: Journal,
    collections: BTreeMap<String, Collection>,
    next_number: u64,
}

/// What is to be written to which record.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// The record's id, or the value of `id_property`; none for a new record.
    pub(crate) id: Option<String>,
    pub(crate) id_property: Option<String>,
    pub(crate) properties: Properties,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Create,
    Update,
    Upsert,
}

/// A written record, and whether it is new.
pub(crate) type Written = (CrmRecord, bool);

impl Store {
    /// Opens the state in `directory`, creating it when missing.
    ///
    /// # Errors
    /// When the directory cannot be used or its journal does not parse.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let (journal, changes) = Journal::open(directory)?;
        let collections = OBJECTS
            .iter()
            .map(|object| ((*object).to_owned(), Collection::new(object)))
            .collect();
        let mut inner = Inner {
            journal,
            collections,
            next_number: 1_001,
        };
        for change in changes {
            inner.apply(change);
        }
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
        })
    }

    /// How many records there are, archived ones included.
    pub fn len(&self) -> usize {
        self.lock()
            .collections
            .values()
            .map(|collection| collection.records.len())
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn define(
        &self,
        object: &str,
        definition: PropertyDefinition,
    ) -> Result<PropertyDefinition, Refusal> {
        let mut inner = self.lock();
        if inner
            .collection(object)?
            .definitions
            .contains_key(&definition.name)
        {
            return Err(Refusal::PropertyExists {
                name: definition.name,
            });
        }
        inner.commit(vec![Change::Property {
            object: object.to_owned(),
            definition: definition.clone(),
        }])?;
        Ok(definition)
    }

    pub(crate) fn definitions(&self, object: &str) -> Result<Vec<PropertyDefinition>, Refusal> {
        let inner = self.lock();
        Ok(inner
            .collection(object)?
            .definitions
            .values()
            .cloned()
            .collect())
    }

    /// Writes one record.
    pub(crate) fn write(
        &self,
        object: &str,
        mode: Mode,
        write: Write,
        now: Timestamp,
    ) -> Result<Written, Refusal> {
        let mut inner = self.lock();
        let collection = inner.collection(object)?;
        let id = write.id.as_deref();
        let found = match (mode, id) {
            (Mode::Create, _) => None,
            (Mode::Update | Mode::Upsert, None) => return Err(Refusal::MissingId),
            (Mode::Update | Mode::Upsert, Some(id)) => {
                collection.find(id, write.id_property.as_deref())?
            }
        };
        if mode == Mode::Update && found.is_none() {
            return Err(not_found(object, id.unwrap_or_default()));
        }
        let mut properties = write.properties;
        if let (Mode::Upsert, None, Some(property), Some(id)) =
            (mode, found, &write.id_property, id)
        {
            // A new record carries the value it was addressed by.
            properties
                .entry(property.clone())
                .or_insert_with(|| Some(id.to_owned()));
        }
        collection.check(found, &properties)?;
        let before = found
            .and_then(|number| collection.records.get(&number))
            .cloned();
        let number = found.unwrap_or(inner.next_number);
        let record = written(number, before, properties, now);
        inner.commit(vec![Change::Record {
            object: object.to_owned(),
            record: record.clone(),
        }])?;
        Ok((record, found.is_none()))
    }

    /// Archives a record. Whether there was one to archive is not told, as in HubSpot.
    pub(crate) fn archive(
        &self,
        object: &str,
        id: &str,
        id_property: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut inner = self.lock();
        let collection = inner.collection(object)?;
        let found = collection.find(id, id_property)?;
        let Some(mut record) = found
            .and_then(|number| collection.records.get(&number))
            .cloned()
        else {
            return Ok(());
        };
        record.archived = true;
        record.updated_at = rfc3339(now);
        inner.commit(vec![Change::Record {
            object: object.to_owned(),
            record,
        }])
    }

    pub(crate) fn read(
        &self,
        object: &str,
        id: &str,
        id_property: Option<&str>,
        archived: bool,
    ) -> Result<CrmRecord, Refusal> {
        let inner = self.lock();
        let collection = inner.collection(object)?;
        if archived {
            return id
                .parse()
                .ok()
                .and_then(|number: u64| collection.records.get(&number))
                .filter(|record| record.archived)
                .cloned()
                .ok_or_else(|| not_found(object, id));
        }
        collection
            .find(id, id_property)?
            .and_then(|number| collection.records.get(&number))
            .cloned()
            .ok_or_else(|| not_found(object, id))
    }

    /// Records after number `after` in order of their numbers, at most `limit`,
    /// of those that `wanted` accepts.
    pub(crate) fn page(
        &self,
        object: &str,
        after: u64,
        limit: usize,
        wanted: impl Fn(&CrmRecord) -> bool,
    ) -> Result<Vec<CrmRecord>, Refusal> {
        let inner = self.lock();
        Ok(inner
            .collection(object)?
            .records
            .range(after + 1..)
            .map(|(_, record)| record)
            .filter(|record| wanted(record))
            .take(limit)
            .cloned()
            .collect())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Changes are applied only after they are on disk, in one step each.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn collection(&self, object: &str) -> Result<&Collection, Refusal> {
        self.collections
            .get(object)
            .ok_or_else(|| Refusal::InvalidObject {
                object: object.to_owned(),
            })
    }

    fn commit(&mut self, changes: Vec<Change>) -> Result<(), Refusal> {
        self.journal.append(&changes).map_err(|error| {
            tracing::error!(error = %error, "a change could not be stored");
            Refusal::Unavailable
        })?;
        for change in changes {
            self.apply(change);
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Property { object, definition } => {
                if let Some(collection) = self.collections.get_mut(&object) {
                    collection
                        .definitions
                        .insert(definition.name.clone(), definition);
                }
            }
            Change::Record { object, record } => {
                let Ok(number) = record.id.parse() else {
                    return;
                };
                self.next_number = self.next_number.max(number + 1);
                if let Some(collection) = self.collections.get_mut(&object) {
                    collection.put(number, record);
                }
            }
        }
    }
}

fn written(
    number: u64,
    before: Option<CrmRecord>,
    properties: Properties,
    now: Timestamp,
) -> CrmRecord {
    let at = rfc3339(now);
    let mut record = before.unwrap_or_else(|| CrmRecord {
        id: number.to_string(),
        properties: Properties::from([("createdate".to_owned(), Some(at.clone()))]),
        created_at: at.clone(),
        updated_at: at.clone(),
        archived: false,
    });
    record.properties.extend(properties);
    let kept = [
        ("hs_object_id", record.id.clone()),
        ("hs_lastmodifieddate", at.clone()),
    ];
    for (name, value) in kept {
        record.properties.insert(name.to_owned(), Some(value));
    }
    record.updated_at = at;
    record
}

fn not_found(object: &str, id: &str) -> Refusal {
    Refusal::NotFound {
        object: object.to_owned(),
        id: id.to_owned(),
    }
}

/// RFC 3339 in UTC with milliseconds, as HubSpot writes times.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.to_rfc3339_millis()
}
