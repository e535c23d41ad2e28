//! From a resolved policy to the kernel program; knows no text, no file and no netlink.
//!
//! One table, `inet doorward`. Its base chains hold two rules: established connections pass by the first,
//! everything else goes to the chains of a generation, `gN_…`. Names without a generation are shared by all:
//! `armed`, `ban4`, `ban6`, lists by content (`list_…`), buckets of limits (`meter_…`, `spent_…`, `debt_…`).

mod builder;
mod cells;
mod code;
mod emergency;
mod groups;
mod held;
mod hooks;
mod limits;
mod lists;
mod nat;
mod replace;
mod same;
mod stage;
mod trial;

use crate::resolve::model::Resolved;
use crate::ruleset::Table;
use std::net::SocketAddr;

pub use emergency::{emergency, is_emergency};
pub use held::{bridges, carried, in_force, is_carried, stands_by_name};
pub use replace::{
    Counted, Running, back, carry_counters, counted, generation_of, replace, replace_with, transition,
};
pub use same::{differs, is_list};
pub use trial::{
    ARMED, GENERATION_BITS, Phase, REFUSED, arm, clear, confirm, disarm, extend, forget, judging, mark_of,
    on_trial, once_over, phase, settle, while_armed,
};

/// Name of the table, in the family inet.
pub const TABLE: &str = "doorward";

/// What the program needs besides the policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Number of the generation, 1 to 63.
    pub generation: u8,
    /// TCP connections, peer first and host second, that were open before the host had a firewall: they are
    /// taken up in the middle once, as conntrack has not seen their beginning.
    pub carried: Vec<(SocketAddr, SocketAddr)>,
}

impl Default for Options {
    fn default() -> Self {
        Options { generation: 1, carried: Vec::new() }
    }
}

/// The bit of the ct mark that says: this connection passed a limit with its SYN and must still be charged
/// with its first acknowledgement. The other seven bits of the byte belong to trials ([`GENERATION_BITS`],
/// [`REFUSED`]).
pub const PENDING: u32 = 0x4000_0000;

/// The bits of the ct mark that are ours.
pub const MARK_BITS: u32 = 0xff00_0000;

/// Sets of the table that stand for something of the policy, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stands {
    /// For the banned sources.
    Banned,
    /// For the buckets of a sentence that have no room.
    Spent(String),
    /// For connections from before the first load.
    Carried,
}

/// What the sets of a policy's table that change from the packet path stand for.
#[must_use]
pub fn stands_for(policy: &Resolved) -> Vec<(String, Stands)> {
    let bans = ["ban4", "ban6"].map(|name| (name.to_owned(), Stands::Banned));
    let limited = policy.rules.iter().filter(|rule| rule.limit.is_some());
    let buckets = limited.flat_map(|rule| {
        let sentence = rule.origin.sentence.to_string();
        limits::set_names(&sentence)
            .map(move |name| (name, Stands::Spent(sentence.clone())))
            .collect::<Vec<_>>()
    });
    let carried = ["carried4", "carried6"].map(|name| (name.to_owned(), Stands::Carried));
    bans.into_iter().chain(carried).chain(buckets).collect()
}

/// Compiles a policy.
#[must_use]
pub fn compile(policy: &Resolved, options: &Options) -> Table {
    let mut builder = builder::Builder::new(policy, options);
    hooks::build(&mut builder);
    nat::build(&mut builder);
    let mut table = builder.finish();
    if emergency::is_its_policy(policy) {
        emergency::log_nothing(&mut table);
    }
    table
}
