use std::collections::{HashMap, VecDeque};

use domain_context::Profile;
use domain_kernel::{ContextId, EventId};
use platform_embed::Embedder;
use platform_vectors::{Match, VectorIndex};

use crate::{Change, Entry, Error};

/// Deliveries remembered a partition, to recognise one that comes again. Far
/// more than can be between two checkpoints; what comes again later was kept
/// out by the gateway, and is recognised by its content.
pub(crate) const REMEMBERED_DELIVERIES: usize = 200_000;

/// Up to so many vectors are looked at one by one; more are searched through the graph.
const SCANNED: usize = 512;

/// The contexts of one partition: the fold of its records, in order.
#[derive(Debug)]
pub struct PartitionIndex {
    pub(crate) vectors: VectorIndex,
    /// A context's vector has its place in here as its key.
    pub(crate) entries: Vec<Entry>,
    pub(crate) by_context: HashMap<ContextId, u64>,
    by_subject: HashMap<Bucket, Vec<u64>>,
    by_space: HashMap<Bucket, Vec<u64>>,
    /// Content that was merged, by the context it would have made.
    pub(crate) merged: HashMap<ContextId, ContextId>,
    pub(crate) placed: HashMap<EventId, ContextId>,
    /// The same deliveries, oldest first.
    pub(crate) placed_order: VecDeque<EventId>,
    pub(crate) next_offset: i64,
}

/// What a search is restricted to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bucket {
    Space(String, String),
    Subject(String, String, String, String),
}

impl Bucket {
    fn space(profile: &Profile) -> Self {
        Self::Space(profile.tenant.to_string(), profile.space.to_string())
    }

    fn subject(profile: &Profile) -> Self {
        Self::Subject(
            profile.tenant.to_string(),
            profile.space.to_string(),
            profile.kind.clone(),
            profile.subject.clone(),
        )
    }
}

impl PartitionIndex {
    /// # Errors
    /// When the library refuses the dimensions.
    pub fn new(dimensions: usize) -> Result<Self, Error> {
        Ok(Self::over(VectorIndex::new(dimensions)?, Vec::new()))
    }

    pub(crate) fn over(vectors: VectorIndex, entries: Vec<Entry>) -> Self {
        let mut index = Self {
            vectors,
            entries: Vec::with_capacity(entries.len()),
            by_context: HashMap::new(),
            by_subject: HashMap::new(),
            by_space: HashMap::new(),
            merged: HashMap::new(),
            placed: HashMap::new(),
            placed_order: VecDeque::new(),
            next_offset: 0,
        };
        for entry in entries {
            index.enter(entry);
        }
        index
    }

    /// The offset of the first record that is not in here.
    pub const fn next_offset(&self) -> i64 {
        self.next_offset
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a change in; one that was taken in before changes nothing, and of
    /// two contexts with one id the first one stays.
    ///
    /// # Errors
    /// When the embedding does not fit the index.
    pub fn fold(&mut self, change: Change, embedder: &dyn Embedder) -> Result<(), Error> {
        let offset = match change {
            Change::Add {
                entry,
                text,
                offset,
            } => {
                if !self.by_context.contains_key(&entry.context_id) {
                    let vector = embedder.embed(&text);
                    let key = self.entries.len() as u64;
                    // A text without any word has no direction and no neighbours.
                    if vector.iter().any(|x| *x != 0.0) {
                        self.vectors.add(key, vector)?;
                    }
                    self.place(entry.delivery, entry.context_id);
                    self.enter(*entry);
                }
                offset
            }
            Change::Merge { merge, offset } => {
                self.place(merge.delivery, merge.into);
                if merge.instead_of != merge.into {
                    self.merged.entry(merge.instead_of).or_insert(merge.into);
                }
                offset
            }
        };
        self.next_offset = self.next_offset.max(offset + 1);
        Ok(())
    }

    /// Passes over a record that holds nothing for the index.
    pub fn skip(&mut self, offset: i64) {
        self.next_offset = self.next_offset.max(offset + 1);
    }

    /// Which context a delivery went into.
    pub fn placed(&self, delivery: EventId) -> Option<ContextId> {
        self.placed.get(&delivery).copied()
    }

    /// The context that holds the content which makes `context_id`: itself, or
    /// the one such content was merged into.
    pub fn holding(&self, context_id: ContextId) -> Option<ContextId> {
        if self.by_context.contains_key(&context_id) {
            return Some(context_id);
        }
        self.merged.get(&context_id).copied()
    }

    /// The nearest contexts of the same tenant, space, kind and subject.
    pub(crate) fn near_subject(
        &self,
        profile: &Profile,
        vector: &[f32],
        count: usize,
    ) -> Result<Vec<(&Entry, f64)>, Error> {
        let keys = self.by_subject.get(&Bucket::subject(profile));
        self.near(keys, vector, count, |entry| {
            let other = &entry.profile;
            other.tenant == profile.tenant
                && other.space == profile.space
                && other.kind == profile.kind
                && other.subject == profile.subject
        })
    }

    /// The nearest contexts of the same tenant and space.
    pub(crate) fn near_space(
        &self,
        profile: &Profile,
        vector: &[f32],
        count: usize,
    ) -> Result<Vec<(&Entry, f64)>, Error> {
        self.near(
            self.by_space.get(&Bucket::space(profile)),
            vector,
            count,
            |entry| entry.profile.tenant == profile.tenant && entry.profile.space == profile.space,
        )
    }

    fn near(
        &self,
        keys: Option<&Vec<u64>>,
        vector: &[f32],
        count: usize,
        belongs: impl Fn(&Entry) -> bool,
    ) -> Result<Vec<(&Entry, f64)>, Error> {
        let Some(keys) = keys else {
            return Ok(Vec::new());
        };
        let found = if keys.len() <= SCANNED {
            self.vectors
                .search_among(vector, count, keys.iter().copied())?
        } else {
            self.vectors
                .search(vector, count, |key| self.entry(key).is_some_and(&belongs))?
        };
        Ok(found
            .into_iter()
            .filter_map(|Match { key, cosine }| Some((self.entry(key)?, cosine)))
            .collect())
    }

    fn entry(&self, key: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(key).ok()?)
    }

    fn enter(&mut self, entry: Entry) {
        let key = self.entries.len() as u64;
        let subject = Bucket::subject(&entry.profile);
        let space = Bucket::space(&entry.profile);
        self.by_context.insert(entry.context_id, key);
        self.by_subject.entry(subject).or_default().push(key);
        self.by_space.entry(space).or_default().push(key);
        self.entries.push(entry);
    }

    pub(crate) fn place(&mut self, delivery: EventId, context_id: ContextId) {
        if self.placed.contains_key(&delivery) {
            return;
        }
        if self.placed_order.len() == REMEMBERED_DELIVERIES
            && let Some(oldest) = self.placed_order.pop_front()
        {
            self.placed.remove(&oldest);
        }
        self.placed.insert(delivery, context_id);
        self.placed_order.push_back(delivery);
    }
}
