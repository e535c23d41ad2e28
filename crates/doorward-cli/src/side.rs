//! Works on the two halves of a proof side by side, where the system gives a second thread; proves nothing itself.

use doorward::net::Family;
use doorward::prove::{Both, InTurn};
use doorward::resolve::Resolved;
use std::thread;

/// From so many sentences on a second thread is worth its while.
const MANY: usize = 25;

/// Both families at once, if there is enough to do.
#[derive(Clone, Copy)]
pub(crate) struct BySide {
    sentences: usize,
}

impl BySide {
    /// For a policy.
    pub(crate) fn of(policy: &Resolved) -> BySide {
        BySide { sentences: policy.rules.len() }
    }
}

impl Both for BySide {
    fn both<T: Send>(&self, half: &(dyn Fn(Family) -> T + Sync)) -> [T; 2] {
        if self.sentences < MANY {
            return InTurn.both(half);
        }
        thread::scope(|scope| match thread::Builder::new().spawn_scoped(scope, || half(Family::V6)) {
            Ok(six) => {
                let four = half(Family::V4);
                // A panic over there is one over here.
                [four, six.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))]
            }
            Err(_) => InTurn.both(half),
        })
    }
}
