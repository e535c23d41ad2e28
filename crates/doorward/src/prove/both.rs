//! A question to each family: the halves know nothing of each other; who asks says how they are worked on.

use crate::net::Family;

/// Works on the half of each family.
pub trait Both {
    /// The answers for IPv4 and IPv6.
    fn both<T: Send>(&self, half: &(dyn Fn(Family) -> T + Sync)) -> [T; 2];
}

/// One after the other.
#[derive(Clone, Copy, Debug)]
pub struct InTurn;

impl Both for InTurn {
    fn both<T: Send>(&self, half: &(dyn Fn(Family) -> T + Sync)) -> [T; 2] {
        Family::BOTH.map(half)
    }
}
