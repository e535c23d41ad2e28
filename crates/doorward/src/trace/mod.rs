//! A plain machine that runs a ruleset on one packet, step by step, as the kernel would; proves nothing.
//!
//! It follows `nft_do_chain` and the `eval` functions of Linux 6.18: what a load stores, what makes it break,
//! what survives a rule that broke. What no packet tells (limits, members of sets that the packet path fills,
//! random numbers) is asked of an [`Assume`], and so is every comparison with such a value.
//!
//! Left out: `nat` chains translate nothing here, as a [`Packet`] already is as it looks at its hook; they are
//! run for first packets all the same, because they may drop. Tables of other families than `ip`, `ip6` and
//! `inet` are not run. Sums in headers are not kept up to date when a rule writes into the packet.

mod assume;
mod foreign;
mod index;
mod load;
mod machine;
mod options;
mod packet;
mod registers;
mod sets;
mod step;
mod visit;
mod walk;
mod wire;
mod xtables;

pub use assume::{Assume, Place, Unknown};
pub use machine::Machine;
pub use packet::{Conntrack, Device, Entry, Packet, Tuple};
pub use visit::{BaseEnd, End, Hit, Outcome, Stop, Trace, Visit};

use crate::ruleset::Table;

/// Runs a packet through every base chain of its hook and family; see [`Machine::hook`].
///
/// Prepares all sets first: for more than one packet, keep a [`Machine`].
pub fn hook<'a>(tables: &'a [Table], packet: &Packet, assume: &mut dyn Assume) -> Trace<'a> {
    Machine::new(tables).hook(packet, assume)
}

/// Runs a packet through one chain as if its hook had called it; see [`Machine::base_chain`].
pub fn base_chain<'a>(table: &'a Table, chain: &str, packet: &Packet, assume: &mut dyn Assume) -> Trace<'a> {
    Machine::new(std::slice::from_ref(table)).base_chain(0, chain, packet, assume)
}
