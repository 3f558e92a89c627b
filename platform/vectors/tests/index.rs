//! The index against looking at every vector, and its file against damage.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use platform_vectors::{Error, VectorIndex};

const DIMENSIONS: usize = 64;

/// Vectors in clusters, the same at every run: neighbours at all distances.
fn vectors(count: u64) -> impl Iterator<Item = (u64, Vec<f32>)> {
    let mut seed = 7_u64;
    let mut random = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 40) as f32 / (1_u64 << 24) as f32) - 0.5
    };
    let mut centre = vec![0.0; DIMENSIONS];
    (0..count).map(move |key| {
        if key % 10 == 0 {
            centre = (0..DIMENSIONS).map(|_| random()).collect();
        }
        let spread = (key % 10) as f32 * 0.1;
        let vector = centre.iter().map(|x| x + spread * random()).collect();
        (key, vector)
    })
}

fn filled(count: u64) -> VectorIndex {
    let mut index = VectorIndex::new(DIMENSIONS).unwrap();
    for (key, vector) in vectors(count) {
        index.add(key, vector).unwrap();
    }
    index
}

#[test]
fn the_graph_agrees_with_looking_at_every_vector() {
    let mut index = filled(3_000);
    index.absorb(2_900).unwrap();
    assert_eq!(index.tail_len(), 100);
    let mut agreed = 0;
    let mut asked = 0;
    for (key, query) in vectors(3_000).step_by(7) {
        let exact = index.search_among(&query, 5, 0..3_000).unwrap();
        let found = index.search(&query, 5, |_| true).unwrap();
        assert_eq!(found[0].key, key);
        assert!(found[0].cosine > 0.999_999);
        asked += 1;
        agreed += usize::from(exact == found);
    }
    assert!(agreed * 100 >= asked * 99, "{agreed} of {asked}");
}

#[test]
fn nothing_passes_the_filter_that_should_not() {
    let mut index = filled(1_000);
    index.absorb(900).unwrap();
    for (_, query) in vectors(1_000).step_by(50) {
        let found = index.search(&query, 10, |key| key % 3 == 0).unwrap();
        assert_eq!(found.len(), 10);
        assert!(found.iter().all(|found| found.key % 3 == 0));
    }
}

#[test]
fn a_vector_is_found_before_and_after_it_joins_the_graph() {
    let mut index = filled(500);
    let (key, query) = vectors(500).nth(333).unwrap();
    let before = index.search(&query, 3, |_| true).unwrap();
    assert_eq!(before[0].key, key);
    assert_eq!(index.absorb(usize::MAX).unwrap(), 500);
    assert_eq!(index.search(&query, 3, |_| true).unwrap(), before);
    assert_eq!(index.vector(key), Some(query));
    assert_eq!(index.len(), 500);
}

#[test]
fn the_first_vector_of_a_key_stays() {
    let mut index = filled(10);
    let first = index.vector(3).unwrap();
    index.add(3, vec![1.0; DIMENSIONS]).unwrap();
    index.absorb(usize::MAX).unwrap();
    index.add(3, vec![1.0; DIMENSIONS]).unwrap();
    assert_eq!(index.vector(3), Some(first));
    assert_eq!(index.len(), 10);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let mut index = VectorIndex::new(DIMENSIONS).unwrap();
    let add = |index: &mut VectorIndex, vector| index.add(1, vector).unwrap_err();
    assert!(matches!(
        add(&mut index, vec![1.0; 3]),
        Error::Dimensions {
            expected: DIMENSIONS,
            given: 3
        }
    ));
    assert!(matches!(
        add(&mut index, vec![0.0; DIMENSIONS]),
        Error::NoDirection
    ));
    assert!(matches!(
        add(&mut index, vec![f32::NAN; DIMENSIONS]),
        Error::NoDirection
    ));
    assert!(index.search(&[1.0; 3], 1, |_| true).is_err());
    assert!(
        index
            .search(&[1.0; DIMENSIONS], 1, |_| true)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_file_gives_back_the_same_neighbours_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vectors/0.usearch");
    let mut index = filled(800);
    index.save(&path, b"offset 17").unwrap();
    let (mut again, metadata) = VectorIndex::load(&path, DIMENSIONS).unwrap();
    assert_eq!(metadata, b"offset 17");
    assert_eq!(again.len(), 800);
    for (key, query) in vectors(800).step_by(13) {
        assert_eq!(again.vector(key), Some(query.clone()));
        assert_eq!(
            again.search(&query, 5, |_| true).unwrap(),
            index.search(&query, 5, |_| true).unwrap()
        );
    }
    // A loaded index takes more vectors and can be written again.
    for (key, vector) in vectors(900).skip(800) {
        again.add(key, vector).unwrap();
    }
    again.save(&path, b"offset 18").unwrap();
    let (again, metadata) = VectorIndex::load(&path, DIMENSIONS).unwrap();
    assert_eq!((again.len(), metadata.as_slice()), (900, &b"offset 18"[..]));
    // Nothing half-written is left beside it.
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn an_empty_index_has_a_file_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.usearch");
    VectorIndex::new(DIMENSIONS)
        .unwrap()
        .save(&path, b"")
        .unwrap();
    let (index, _) = VectorIndex::load(&path, DIMENSIONS).unwrap();
    assert!(index.is_empty());
}

#[test]
fn damage_of_any_kind_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.usearch");
    filled(50).save(&path, b"offset 17").unwrap();
    let whole = fs::read(&path).unwrap();
    let load = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        VectorIndex::load(&path, DIMENSIONS).map(drop)
    };
    assert!(load(&whole).is_ok());
    for length in [0, 7, 31, 40, whole.len() / 2, whole.len() - 1] {
        let error = load(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{length}: {error}");
    }
    for at in [0, 9, 33, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        let error = load(&flipped).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    assert!(load(&longer).is_err());
    assert!(load(&whole).is_ok());
    let other = VectorIndex::load(&path, DIMENSIONS + 1).unwrap_err();
    assert!(matches!(other, Error::Damaged { .. }));
    fs::remove_file(&path).unwrap();
    assert!(
        VectorIndex::load(&path, DIMENSIONS)
            .unwrap_err()
            .is_missing()
    );
}
