//! The apply machine in a world of its own: whatever goes wrong at whatever step, one generation judges, whole.
//!
//! The world has a kernel that takes real transactions on real tables, a disk that forgets what was not synced, time,
//! and others who write. `DOORWARD_CASES` says how many lives are lived, `DOORWARD_SEED` where they begin; a failure
//! prints the seed of its life, and with that seed and one case it is lived again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::cast_possible_truncation)]

mod book;
mod disk;
mod fault;
mod judge;
mod probe;
mod random;
mod scenario;
mod session;
mod traffic;
mod truth;
mod world;

use book::Book;
use fault::Counts;
use std::fmt::Write;

/// So many lives in the gate.
const CASES: u64 = 150_000;
/// So often each pair of step and fault must be reached then.
const LEAST: u64 = 100;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Lives some of them; the counts and the number of tables.
fn lives(seeds: impl Iterator<Item = u64>) -> Result<(Counts, usize), String> {
    let (mut book, mut counts) = (Book::new(), Counts::new());
    for seed in seeds {
        scenario::live(&mut book, &mut counts, seed).map_err(|(broken, log)| {
            let mut text = format!("DOORWARD_SEED={seed} DOORWARD_CASES=1: {broken}\n");
            for line in &log {
                writeln!(text, "    {line:?}").unwrap();
            }
            text
        })?;
    }
    Ok((counts, book.tables()))
}

#[test]
fn whatever_goes_wrong_one_generation_judges() {
    let cases = number("DOORWARD_CASES").unwrap_or(CASES);
    let seed = number("DOORWARD_SEED").unwrap_or(1);
    let end = seed + cases;
    let began = std::time::Instant::now();
    let parts = std::thread::scope(|scope| {
        let half = |odd: usize| scope.spawn(move || lives((seed..end).skip(odd).step_by(2)));
        [half(0), half(1)].map(|thread| thread.join().unwrap())
    });
    let mut counts = Counts::new();
    let mut tables = 0;
    for part in parts {
        let (some, many) = part.unwrap_or_else(|text| panic!("{text}"));
        counts.add(&some);
        tables = tables.max(many);
    }
    // Fewer lives are for the inner loop, and for bugs that are put in.
    let least = if cases < CASES { 0 } else { LEAST };
    let (text, seldom) = counts.told(least);
    println!("{text}, {cases} lives, {tables} tables, {:.1} s", began.elapsed().as_secs_f64());
    assert!(seldom.is_empty(), "reached less than {least} times: {}", seldom.join("; "));
}
