//! What a policy says of one imagined connection, straight from the language's rulings; knows no ruleset.
//!
//! This is the second opinion: it shares no code with the compiler, so that a mistake of either shows
//! where the two meet (`rehearse`, `check`, the tests). It is slow and plain on purpose: every sentence is
//! asked about every connection, in no order that could matter.

mod builtin;
mod connection;
mod example;
mod judge;
pub mod sets;
#[cfg(test)]
mod tests;
pub mod translate;

pub use connection::{Addressed, Connection, Owner, Packet, Path};
pub use example::{connection, ip};
pub use judge::{Decider, Host, Judgement, Limits, judge, shuts};
