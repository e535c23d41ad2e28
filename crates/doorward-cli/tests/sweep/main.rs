//! Commands that change the firewall are killed at any of their system calls, and any call may fail: what judges
//! afterwards is the old policy or the new one, whole, and what boots is one that was confirmed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]
#![cfg(target_arch = "x86_64")]

mod blows;
#[path = "../common/mod.rs"]
mod common;
mod deadline;
mod errors;
mod field;
mod load;
mod orders;
mod otherwise;
mod power;
#[path = "../tool/mod.rs"]
mod tool;
mod traced;

use field::{Field, Judge};
use nix::libc::{self, c_long};
use orders::Order;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use traced::Fate;

/// A number that is another one each time, and may be given: `DOORWARD_SEED`.
pub(crate) fn seed() -> usize {
    let given = std::env::var("DOORWARD_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos() as usize)
    });
    println!("DOORWARD_SEED={seed}");
    seed
}

/// Calls that change nothing outside of the program (but for a file that is made, which a change follows).
const LOOKS: [c_long; 17] = [
    libc::SYS_openat,
    libc::SYS_open,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_getdents64,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_fcntl,
];
/// So many calls at both ends of a row of looks are points of their own.
const AT_ENDS: usize = 4;
/// Between these, one of so many.
const AMID: usize = 200;

/// Calls before which a kill may make a difference: all, but of the long rows in which a command looks through `/proc`
/// only some, as nothing happens there.
fn points(calls: &[c_long]) -> Vec<usize> {
    let rows = calls.chunk_by(|a, b| LOOKS.contains(a) == LOOKS.contains(b));
    let mut before = 0;
    let mut points = Vec::new();
    for row in rows {
        let looks = row.first().is_some_and(|call| LOOKS.contains(call));
        let counts =
            |at: &usize| !looks || *at < AT_ENDS || *at + AT_ENDS >= row.len() || at.is_multiple_of(AMID);
        points.extend((0..row.len()).filter(counts).map(|at| before + at + 1));
        before += row.len();
    }
    points
}

/// The calls that a command makes.
fn calls(order: Order) -> Option<Vec<c_long>> {
    let field = Field::new()?;
    order.prepare(&field);
    let whole = field.traced(order.args(), Fate::Runs);
    assert_eq!(whole.exit, Some(0), "{} {}", whole.out, whole.err);
    Some(whole.calls)
}

/// Kills a command at these calls, on so many hosts at once.
fn sweep(order: Order, calls: usize, points: &[usize], hosts: usize) {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let figures: Mutex<BTreeMap<String, usize>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..hosts {
            scope.spawn(|| {
                let field = Field::new().unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(at) = points.get(number) else { return };
                    // No two runs make quite the same calls: one may be done before.
                    let judge = order.kill(&field, *at, number + at);
                    let found = judge.map_or_else(|| "done".to_owned(), |judge| format!("{judge:?}"));
                    *figures.lock().unwrap().entry(found).or_default() += 1;
                }
            });
        }
    });
    let mut figures = figures.into_inner().unwrap();
    let done = figures.remove("done").unwrap_or(0);
    let killed: usize = figures.values().sum();
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{order:?}: {calls} calls, killed at {killed}, {figures:?}, torn 0, done before {done}, {seconds:.1} s"
    );
    // The test must be able to fail: with enough kills, both sides of the change are seen.
    assert!(killed < 100 || order == Order::Confirm || figures.len() == 2, "{figures:?}");
    assert!(killed * 2 >= points.len(), "killed at {killed} of {}", points.len());
}

/// What the gate takes of all calls: any of each part.
fn slice(order: Order, kills: usize) {
    let Some(calls) = calls(order) else { return };
    let (all, seed) = (points(&calls), seed());
    let part = all.len() / kills;
    let some: Vec<usize> = all
        .chunks_exact(part)
        .enumerate()
        .map(|(number, part)| part[seed / (number + 1) % part.len()])
        .collect();
    sweep(order, calls.len(), &some, 2);
}

#[test]
fn some_kills_of_a_trial() {
    slice(Order::Try, 8);
}

#[test]
fn some_kills_of_a_replacement() {
    slice(Order::Replace, 8);
}

#[test]
fn some_kills_of_a_confirmation() {
    slice(Order::Confirm, 8);
}

#[test]
fn some_kills_of_a_rollback() {
    slice(Order::RollBack, 6);
}

#[test]
fn some_kills_of_a_boot() {
    slice(Order::Boot, 6);
}

/// Every call of a command.
fn whole(order: Order) {
    let Some(calls) = calls(order) else { return };
    sweep(order, calls.len(), &points(&calls), 6);
}

#[test]
#[ignore = "long: every call"]
fn all_kills_of_a_trial() {
    whole(Order::Try);
}

#[test]
#[ignore = "long: every call"]
fn all_kills_of_a_replacement() {
    whole(Order::Replace);
}

#[test]
#[ignore = "long: every call"]
fn all_kills_of_a_confirmation() {
    whole(Order::Confirm);
}

#[test]
#[ignore = "long: every call"]
fn all_kills_of_a_rollback() {
    whole(Order::RollBack);
}

#[test]
#[ignore = "long: every call"]
fn all_kills_of_a_boot() {
    whole(Order::Boot);
}

/// Without the program's care for it, the test must find what is torn: half a change is seen as one.
#[test]
fn what_is_torn_is_seen() {
    let Some(field) = Field::new() else { return };
    // Somebody opens one door of the new policy in the old one, for one family.
    let rule = "insert rule inet doorward input meta nfproto ipv6 tcp dport 3306 accept";
    let done =
        field.pair.on_host(|| std::process::Command::new("nft").args(rule.split(' ')).status().unwrap());
    assert!(done.success());
    assert!(matches!(field.judge(), Judge::Torn(_)), "{:?}", field.judge());
}
