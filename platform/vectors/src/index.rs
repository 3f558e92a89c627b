use std::collections::BTreeMap;

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use crate::Error;

/// Vectors by key, and which of them are near a given one.
pub struct VectorIndex {
    dimensions: usize,
    graph: Index,
    tail: BTreeMap<u64, Vec<f32>>,
}

/// A stored vector and how near it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    pub key: u64,
    /// Cosine of the angle, from -1.0 to 1.0.
    pub cosine: f64,
}

impl std::fmt::Debug for VectorIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VectorIndex")
            .field("dimensions", &self.dimensions)
            .field("graph", &self.graph.size())
            .field("tail", &self.tail.len())
            .finish()
    }
}

impl VectorIndex {
    /// # Errors
    /// When the library refuses the dimensions.
    pub fn new(dimensions: usize) -> Result<Self, Error> {
        Ok(Self {
            dimensions,
            graph: empty_graph(dimensions)?,
            tail: BTreeMap::new(),
        })
    }

    pub(crate) fn from_graph(dimensions: usize, graph: Index) -> Self {
        Self {
            dimensions,
            graph,
            tail: BTreeMap::new(),
        }
    }

    pub(crate) fn graph(&self) -> &Index {
        &self.graph
    }

    pub const fn dimensions(&self) -> usize {
        self.dimensions
    }

    pub fn len(&self) -> usize {
        self.graph.size() + self.tail.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Vectors that are not in the graph yet.
    pub fn tail_len(&self) -> usize {
        self.tail.len()
    }

    pub fn contains(&self, key: u64) -> bool {
        self.tail.contains_key(&key) || self.graph.contains(key)
    }

    /// Stores a vector, to be found at once. A key that is there already keeps
    /// the vector it has.
    ///
    /// # Errors
    /// When the vector has other dimensions, no direction, or is not finite.
    pub fn add(&mut self, key: u64, vector: Vec<f32>) -> Result<(), Error> {
        self.check(&vector)?;
        if !vector.iter().all(|x| x.is_finite()) || vector.iter().all(|x| *x == 0.0) {
            return Err(Error::NoDirection);
        }
        if !self.graph.contains(key) {
            self.tail.entry(key).or_insert(vector);
        }
        Ok(())
    }

    /// Moves up to `at_most` vectors from the tail into the graph; says how many.
    ///
    /// # Errors
    /// When the graph has no memory left. The vectors stay in the tail.
    pub fn absorb(&mut self, at_most: usize) -> Result<usize, Error> {
        let wanted = self.graph.size() + self.tail.len().min(at_most);
        if wanted > self.graph.capacity() {
            self.graph
                .reserve(wanted.next_power_of_two().max(64))
                .map_err(|error| graph("reserve", &error))?;
        }
        let mut moved = 0;
        while moved < at_most {
            let Some((key, vector)) = self.tail.first_key_value() else {
                break;
            };
            self.graph
                .add(*key, vector)
                .map_err(|error| graph("add", &error))?;
            self.tail.pop_first();
            moved += 1;
        }
        Ok(moved)
    }

    /// The stored vector.
    pub fn vector(&self, key: u64) -> Option<Vec<f32>> {
        if let Some(vector) = self.tail.get(&key) {
            return Some(vector.clone());
        }
        let mut vector = vec![0.0; self.dimensions];
        matches!(self.graph.get(key, &mut vector), Ok(1)).then_some(vector)
    }

    /// The `count` nearest among the vectors whose keys pass `filter`, nearest
    /// first, the smaller key first where two are as near. Exact over the tail,
    /// approximate over the graph: a strict filter over a large graph may miss
    /// some, so look [`VectorIndex::search_among`] where the keys are few.
    ///
    /// # Errors
    /// When the query has other dimensions.
    pub fn search(
        &self,
        query: &[f32],
        count: usize,
        filter: impl Fn(u64) -> bool,
    ) -> Result<Vec<Match>, Error> {
        self.check(query)?;
        let mut found: Vec<Match> = self
            .tail
            .iter()
            .filter(|(key, _)| filter(**key))
            .map(|(key, vector)| Match {
                key: *key,
                cosine: cosine(query, vector),
            })
            .collect();
        if self.graph.size() > 0 && count > 0 {
            let near = self
                .graph
                .filtered_search(query, count, filter)
                .map_err(|error| graph("search", &error))?;
            found.extend(self.scored(query, near.keys));
        }
        Ok(nearest(found, count))
    }

    /// The `count` nearest among the given keys, by looking at each. Keys that
    /// are not there are passed over.
    ///
    /// # Errors
    /// When the query has other dimensions.
    pub fn search_among(
        &self,
        query: &[f32],
        count: usize,
        keys: impl IntoIterator<Item = u64>,
    ) -> Result<Vec<Match>, Error> {
        self.check(query)?;
        Ok(nearest(self.scored(query, keys).collect(), count))
    }

    fn scored(
        &self,
        query: &[f32],
        keys: impl IntoIterator<Item = u64>,
    ) -> impl Iterator<Item = Match> {
        keys.into_iter().filter_map(|key| {
            self.vector(key).map(|vector| Match {
                key,
                cosine: cosine(query, &vector),
            })
        })
    }

    fn check(&self, vector: &[f32]) -> Result<(), Error> {
        if vector.len() == self.dimensions {
            Ok(())
        } else {
            Err(Error::Dimensions {
                expected: self.dimensions,
                given: vector.len(),
            })
        }
    }
}

/// An empty graph. The figures trade some memory for finding nearly all: of the ten
/// nearest of texts that are not in it, 997 in 1,000 and more (S3-search in
/// docs/BENCHMARKS.md). Twice as many candidates found another two in 1,000, in
/// twice the time.
pub(crate) fn empty_graph(dimensions: usize) -> Result<Index, Error> {
    Index::new(&IndexOptions {
        dimensions,
        metric: MetricKind::Cos,
        quantization: ScalarKind::F32,
        connectivity: 16,
        expansion_add: 128,
        expansion_search: 64,
        multi: false,
    })
    .map_err(|error| graph("start", &error))
}

pub(crate) fn graph(action: &'static str, error: &impl std::fmt::Display) -> Error {
    Error::Graph {
        action,
        message: error.to_string(),
    }
}

fn nearest(mut found: Vec<Match>, count: usize) -> Vec<Match> {
    found.sort_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.key.cmp(&b.key)));
    found.dedup_by_key(|found| found.key);
    found.truncate(count);
    found
}

fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let (mut dot, mut left, mut right) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (x, y) in one.iter().zip(other) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        dot += x * y;
        left += x * x;
        right += y * y;
    }
    let lengths = (left * right).sqrt();
    if lengths == 0.0 {
        0.0
    } else {
        // Rounding must not make anything nearer than the same.
        (dot / lengths).clamp(-1.0, 1.0)
    }
}
