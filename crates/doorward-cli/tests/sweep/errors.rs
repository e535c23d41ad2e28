//! A system call fails: the command says so, or did what it says.

use crate::field::{Field, Judge};
use crate::orders::Order;
use crate::seed;
use crate::traced::{Fate, Run};
use nix::libc::{self, c_long};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whatever reaches the kernel's rules or the disk.
const CALLS: [(&str, c_long); 15] = [
    ("openat", libc::SYS_openat),
    ("read", libc::SYS_read),
    ("write", libc::SYS_write),
    ("fsync", libc::SYS_fsync),
    ("mkdirat", libc::SYS_mkdirat),
    ("unlinkat", libc::SYS_unlinkat),
    ("renameat", libc::SYS_renameat),
    ("renameat2", libc::SYS_renameat2),
    ("getdents64", libc::SYS_getdents64),
    ("flock", libc::SYS_flock),
    ("socket", libc::SYS_socket),
    ("sendto", libc::SYS_sendto),
    ("sendmsg", libc::SYS_sendmsg),
    ("recvfrom", libc::SYS_recvfrom),
    ("recvmsg", libc::SYS_recvmsg),
];
const ERRORS: [(&str, i32); 6] = [
    ("ENOSPC", libc::ENOSPC),
    ("EIO", libc::EIO),
    ("EPERM", libc::EPERM),
    ("ENOMEM", libc::ENOMEM),
    ("EINTR", libc::EINTR),
    ("ENOBUFS", libc::ENOBUFS),
];
/// What the answer says where the kernel has it and the disk has not, or nobody knows whether it has.
const HALF: &str = "the next boot";

/// Everything that may go wrong with a command: each call that it makes, the first ones and the last.
fn fates(calls: &[c_long]) -> Vec<(String, Fate)> {
    let mut all = Vec::new();
    for (name, call) in CALLS {
        let times = calls.iter().filter(|one| **one == call).count();
        let some = (1..=times).filter(|nth| *nth <= 3 || *nth + 3 > times);
        for nth in some {
            for (error, errno) in ERRORS {
                all.push((format!("{error} at {name} {nth} of {times}"), Fate::Fails { call, nth, errno }));
            }
        }
    }
    all
}

impl Order {
    /// Whether what the command said is true, and which judge there is.
    fn is_truth(self, field: &Field, run: &Run) -> Result<bool, String> {
        let judge = field.judge();
        let on_trial = !field.status()["trial"].is_null();
        let said_so = run.exit == Some(0);
        let half = run.err.contains(HALF);
        let done = match self {
            Order::Try => judge == Judge::New && on_trial,
            Order::Replace | Order::Confirm => judge == Judge::New && !on_trial,
            Order::RollBack | Order::Boot => judge == Judge::Old,
        };
        let whole = match judge {
            Judge::Old | Judge::New => true,
            // What cannot be read cannot be loaded.
            Judge::Emergency | Judge::Nobody => self == Order::Boot,
            Judge::Torn(_) => false,
        };
        field.reboot();
        let boots = field.judge();
        let kept = match self {
            Order::Replace | Order::Confirm => boots == Judge::New,
            _ => true,
        };
        // Nothing that was not confirmed boots.
        let sound = boots == Judge::Old || (boots == Judge::New && done && self != Order::Try);
        let truth = said_so == (done && kept) || (half && done) || (run.exit.is_none() && !said_so);
        if whole && sound && truth {
            return Ok(done);
        }
        Err(format!(
            "exit {:?}, judge {judge:?}, on trial {on_trial}, boots {boots:?}: {}{}",
            run.exit, run.out, run.err
        ))
    }
}

/// Lets calls of a command fail; `some` chooses which of all.
fn errors(order: Order, hosts: usize, some: impl Fn(usize) -> bool) {
    let Some(field) = Field::new() else { return };
    order.prepare(&field);
    let all = fates(&field.traced(order.unhurried(), Fate::Runs).calls);
    drop(field);
    let fates: Vec<&(String, Fate)> =
        all.iter().enumerate().filter(|(at, _)| some(*at)).map(|(_, fate)| fate).collect();
    let next = AtomicUsize::new(0);
    let (figures, lies) = (Mutex::new(BTreeMap::<(Option<i32>, bool), usize>::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..hosts {
            scope.spawn(|| {
                let field = Field::new().unwrap();
                while let Some((name, fate)) = fates.get(next.fetch_add(1, Ordering::Relaxed)) {
                    order.prepare(&field);
                    let run = field.traced(order.unhurried(), *fate);
                    match order.is_truth(&field, &run) {
                        Ok(done) => *figures.lock().unwrap().entry((run.exit, done)).or_default() += 1,
                        Err(why) => lies.lock().unwrap().push(format!("{name}: {why}")),
                    }
                }
            });
        }
    });
    let (figures, lies) = (figures.into_inner().unwrap(), lies.into_inner().unwrap());
    println!(
        "{order:?}: {} errors of {}, (exit, done): {figures:?}, lies {}",
        fates.len(),
        all.len(),
        lies.len()
    );
    assert!(lies.is_empty(), "{order:?}: {lies:#?}");
    // Errors that nobody notices at all would test nothing; of a few, all may be borne.
    assert!(fates.len() < 50 || figures.keys().any(|(exit, _)| *exit != Some(0)), "{figures:?}");
}

#[test]
fn some_errors() {
    let chosen = seed();
    for order in [Order::Try, Order::Replace, Order::Confirm, Order::RollBack] {
        errors(order, 2, |at| at % 40 == chosen % 40);
    }
}

/// Every error at the first and last calls of a command.
fn whole(order: Order) {
    errors(order, 4, |_| true);
}

#[test]
#[ignore = "long: every error"]
fn all_errors_of_a_trial() {
    whole(Order::Try);
}

#[test]
#[ignore = "long: every error"]
fn all_errors_of_a_replacement() {
    whole(Order::Replace);
}

#[test]
#[ignore = "long: every error"]
fn all_errors_of_a_confirmation() {
    whole(Order::Confirm);
}

#[test]
#[ignore = "long: every error"]
fn all_errors_of_a_rollback() {
    whole(Order::RollBack);
}

#[test]
#[ignore = "long: every error"]
fn all_errors_of_a_boot() {
    whole(Order::Boot);
}
