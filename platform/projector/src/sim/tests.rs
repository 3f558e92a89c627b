use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::scenario::play;
use crate::guard::{self, Guard};

const SEEDS: u64 = 2_000;

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

fn seeds() -> u64 {
    setting("SIMULATION_SEEDS").unwrap_or(SEEDS)
}

/// That the guard is missed: a history breaks without it that does not with it.
fn is_missed(guard: Guard) {
    is_missed_from(0, guard);
}

/// As `is_missed`, looking from that seed on, for what few histories need.
fn is_missed_from(first: u64, guard: Guard) {
    let (seed, broken) =
        first_broken(first..first + seeds(), Some(guard)).expect("a seed that finds it");
    guard::without(None);
    play(seed, false).expect("the same history is fine with it");
    println!("without {guard:?} seed {seed} breaks: {broken}");
}

/// The first of so many seeds that breaks something, with what it broke.
fn first_broken(seeds: std::ops::Range<u64>, missing: Option<Guard>) -> Option<(u64, String)> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                guard::without(missing);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let stop = found
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .is_some();
                    if seed >= seeds.end || stop {
                        return;
                    }
                    if let Err((broken, _)) = play(seed, false) {
                        let mut found = found.lock().unwrap();
                        if found.as_ref().is_none_or(|(known, _)| seed < *known) {
                            *found = Some((seed, broken));
                        }
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn whatever_happens_every_input_counts_once() {
    if let Some(seed) = setting("SIMULATION_SEED") {
        if let Err((broken, history)) = play(seed, true) {
            panic!("seed {seed}: {broken}\n{}", history.join("\n"));
        }
        return;
    }
    if let Some((seed, broken)) = first_broken(0..seeds(), None) {
        panic!(
            "seed {seed}: {broken}\nits history: SIMULATION_SEED={seed} \
             cargo test -p platform-projector --lib sim::"
        );
    }
}

#[test]
fn one_seed_is_one_history() {
    // The history is told only of what breaks, so something has to.
    guard::without(Some(Guard::Reemission));
    let (seed, first) = (0..SEEDS)
        .find_map(|seed| Some((seed, play(seed, true).err()?)))
        .expect("a seed that finds it");
    let second = play(seed, true).expect_err("the same history");
    guard::without(None);
    assert_eq!(first, second);
}

#[test]
fn without_the_generation_guard_it_breaks() {
    is_missed(Guard::Generation);
}

#[test]
fn without_the_position_check_it_breaks() {
    is_missed(Guard::Position);
}

#[test]
fn without_notes_of_decisions_it_breaks() {
    is_missed(Guard::Intent);
}

#[test]
fn with_several_events_of_a_stream_on_their_way_it_breaks() {
    is_missed_from(3_500, Guard::OneAtATime);
}

#[test]
fn without_a_look_at_who_owns_what_is_read_it_breaks() {
    is_missed_from(4_500, Guard::Reading);
}

#[test]
fn without_the_generation_in_the_store_it_breaks() {
    is_missed(Guard::StoreGeneration);
}

#[test]
fn without_the_generation_in_the_claim_of_the_store_it_breaks() {
    is_missed(Guard::StoreClaim);
}

#[test]
fn without_noticing_a_flush_it_breaks() {
    is_missed(Guard::Flush);
}

#[test]
fn without_reemission_after_a_takeover_it_breaks() {
    is_missed(Guard::Reemission);
}
