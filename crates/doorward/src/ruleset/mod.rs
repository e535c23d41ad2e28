//! The waist: a ruleset as the kernel holds it, in typed bytecode; knows no policy, no netlink and no text.
//!
//! The model is `nf_tables` itself (`include/uapi/linux/netfilter/nf_tables.h`): tables hold chains, sets and
//! objects; a rule is a list of expressions over registers. All of it can be encoded, decoded, printed and
//! proven; what this module has no type for is kept as [`Expr::Unknown`] under its own name.

mod checked;
mod expr;
mod outcome;
mod sealed;
mod set;
mod transaction;
mod udata;

pub use checked::Checked;
pub use expr::{
    Bitop, CmpOp, CtDir, CtKey, Dynset, DynsetOp, Expr, Fib, FibResult, Limit, LimitUnit, Log, LookupTarget,
    MetaKey, Nat, NatRange, PayloadBase, Reg, Reject, Verdict, exthdr,
};
pub use outcome::{Refused, Why};
pub use sealed::{SEALED_VERSION, SealError, Sealed};
pub use set::{Data, DataType, Element, Elements, KeyPart, Set, set_flags};
pub use transaction::{Step, Transaction};
pub use udata::{Udata, comment, comment_of, key_typeof, mark_verdict_map};

/// Kinds of entries in user data.
pub mod udata_kind {
    pub use super::udata::{
        CHAIN_COMMENT, COMMENT_MAX, ELEM_COMMENT, RULE_COMMENT, SET_COMMENT, TABLE_COMMENT,
    };
}

/// Everything of one network namespace, or the one table that a policy compiles to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ruleset {
    /// The tables, in the order of the kernel.
    pub tables: Vec<Table>,
}

/// Address family of a table (`NFPROTO_*`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TableFamily {
    /// Both IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// ARP.
    Arp,
    /// One device, before and after the stack.
    Netdev,
    /// Bridge.
    Bridge,
    /// IPv6.
    Ip6,
    /// Any other number.
    Other(u8),
}

/// As nft says it; by number where it has no word.
impl std::fmt::Display for TableFamily {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TableFamily::Inet => f.write_str("inet"),
            TableFamily::Ip => f.write_str("ip"),
            TableFamily::Arp => f.write_str("arp"),
            TableFamily::Netdev => f.write_str("netdev"),
            TableFamily::Bridge => f.write_str("bridge"),
            TableFamily::Ip6 => f.write_str("ip6"),
            TableFamily::Other(number) => write!(f, "{number}"),
        }
    }
}

impl TableFamily {
    /// `NFPROTO_*`.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            TableFamily::Inet => 1,
            TableFamily::Ip => 2,
            TableFamily::Arp => 3,
            TableFamily::Netdev => 5,
            TableFamily::Bridge => 7,
            TableFamily::Ip6 => 10,
            TableFamily::Other(number) => number,
        }
    }

    /// The family of a number.
    #[must_use]
    pub const fn from_number(number: u8) -> TableFamily {
        match number {
            1 => TableFamily::Inet,
            2 => TableFamily::Ip,
            3 => TableFamily::Arp,
            5 => TableFamily::Netdev,
            7 => TableFamily::Bridge,
            10 => TableFamily::Ip6,
            other => TableFamily::Other(other),
        }
    }
}

/// A table and all that is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Family.
    pub family: TableFamily,
    /// Name, unique in its family.
    pub name: String,
    /// `NFT_TABLE_F_*`: 1 dormant, 2 owner, 4 persist.
    pub flags: u32,
    /// Free data of user space; `nft` keeps the comment here.
    pub udata: Udata,
    /// Chains, in the order of the kernel.
    pub chains: Vec<Chain>,
    /// Sets and maps, anonymous ones too.
    pub sets: Vec<Set>,
    /// Stateful objects.
    pub objects: Vec<Object>,
    /// Flowtables, by name only.
    pub flowtables: Vec<String>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(family: TableFamily, name: impl Into<String>) -> Table {
        Table {
            family,
            name: name.into(),
            flags: 0,
            udata: Udata::default(),
            chains: Vec::new(),
            sets: Vec::new(),
            objects: Vec::new(),
            flowtables: Vec::new(),
        }
    }

    /// The chain of this name.
    #[must_use]
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// The set or map of this name.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

/// A chain; with [`Base`] it is called by the kernel, without by `jump` and `goto`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Name, unique in its table.
    pub name: String,
    /// Where the kernel calls it, if it does.
    pub base: Option<Base>,
    /// Free data of user space; `nft` keeps the comment here.
    pub udata: Udata,
    /// Rules in their order.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// A chain that only other chains call.
    #[must_use]
    pub fn regular(name: impl Into<String>) -> Chain {
        Chain { name: name.into(), base: None, udata: Udata::default(), rules: Vec::new() }
    }
}

/// Where a base chain sits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// What the chain may do.
    pub kind: ChainKind,
    /// The hook.
    pub hook: Hook,
    /// The priority; lower is earlier.
    pub priority: i32,
    /// What happens to a packet that reaches the end.
    pub policy: Policy,
    /// Devices, in the family netdev and for ingress.
    pub devices: Vec<String>,
}

/// The type of a base chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChainKind {
    /// `filter`.
    Filter,
    /// `nat`: sees the first packet of a connection only.
    Nat,
    /// `route`: reroutes when it changed the packet.
    Route,
    /// Any other.
    Other(String),
}

/// `NF_INET_*` (and its twins for bridge), or the hook number of ARP and netdev chains.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hook {
    /// Before the routing decision.
    Prerouting,
    /// For this host.
    Input,
    /// Passing through.
    Forward,
    /// From this host.
    Output,
    /// On the way out.
    Postrouting,
    /// Before everything, bound to a device.
    Ingress,
    /// After everything, bound to a device.
    Egress,
    /// Any other number.
    Other(u32),
}

impl Hook {
    /// As nft says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
            Hook::Ingress => "ingress",
            Hook::Egress => "egress",
            Hook::Other(_) => "another hook",
        }
    }
}

/// The policy of a base chain in the sense of nftables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Policy {
    /// Accept.
    Accept,
    /// Drop.
    Drop,
}

/// A rule: expressions run from left to right until one does not match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rule {
    /// The expressions.
    pub exprs: Vec<Expr>,
    /// Free data of user space; the comment carries our origin.
    pub udata: Udata,
    /// The kernel's number of the rule, when it was read from there.
    pub handle: Option<u64>,
}

impl Rule {
    /// A rule of these expressions.
    #[must_use]
    pub fn new(exprs: Vec<Expr>) -> Rule {
        Rule { exprs, udata: Udata::default(), handle: None }
    }

    /// The same rule with a comment, which `nft` shows.
    #[must_use]
    pub fn commented(mut self, text: &str) -> Rule {
        self.udata = comment(udata::RULE_COMMENT, text);
        self
    }
}

/// A stateful object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Name, unique per kind in its table.
    pub name: String,
    /// What it is.
    pub kind: ObjectKind,
    /// Free data of user space.
    pub udata: Udata,
}

/// What an object holds (`NFT_OBJECT_*`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObjectKind {
    /// Packets and bytes.
    Counter {
        /// Packets.
        packets: u64,
        /// Bytes.
        bytes: u64,
    },
    /// A conntrack helper.
    CtHelper {
        /// The kernel's name of it, e.g. `ftp`.
        helper: String,
        /// Layer 3: `NFPROTO_*`; 1 (inet) for both families.
        l3proto: u16,
        /// Layer 4.
        l4proto: u8,
    },
    /// A limit.
    Limit(Limit),
    /// Anything else, by its number and its attributes as read.
    Other {
        /// `NFT_OBJECT_*`.
        number: u32,
        /// The bytes of `NFTA_OBJ_DATA`.
        data: Vec<u8>,
    },
}

impl ObjectKind {
    /// `NFT_OBJECT_*`.
    #[must_use]
    pub const fn number(&self) -> u32 {
        match self {
            ObjectKind::Counter { .. } => 1,
            ObjectKind::CtHelper { .. } => 3,
            ObjectKind::Limit(_) => 4,
            ObjectKind::Other { number, .. } => *number,
        }
    }
}
