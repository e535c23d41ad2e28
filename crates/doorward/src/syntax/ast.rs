//! A policy as it was said: sentences with their words and places; no name is looked up here.

use crate::net::{IpRange, PortRange, Prefix};
use crate::report::{Span, Spanned};

/// One sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentence {
    /// From the first word to the last, comment excluded.
    pub span: Span,
    /// What it says.
    pub kind: SentenceKind,
}

/// The kinds of sentences.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SentenceKind {
    /// `define NAME = …`
    Define(Define),
    /// `trust …`: values, never `anyone` or `outside`.
    Trust(Vec<Spanned<Value>>),
    /// `default block in, allow out`
    Default(Vec<(Spanned<Verdict>, Spanned<Way>)>),
    /// `allow …`, `block …`, `reject …`
    Rule(Box<RuleSentence>),
    /// `expect … is allowed`
    Expect(Box<ExpectSentence>),
    /// `include "…"`
    Include(Spanned<String>),
    /// `masquerade`, `redirect`, `publish`: read, and refused by name for now.
    Nat(Nat),
}

/// `define NAME = …`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Define {
    /// The name.
    pub name: Spanned<String>,
    /// What it stands for.
    pub value: DefineValue,
}

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DefineValue {
    /// Items, all of one kind (checked where names are resolved).
    Items(Vec<Spanned<Item>>),
    /// `file "…"`: addresses, one a line.
    File(Spanned<String>),
    /// `feed "…"`: read, and refused by name for now.
    Feed(Spanned<String>),
}

/// An item of a definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Addresses, or a name of whatever kind.
    Value(Value),
    /// `22/tcp`
    Ports(Ports),
    /// `interface eth1`
    Interface(String),
    /// `ping`
    Ping,
    /// `icmp TYPE`
    Icmp(Spanned<String>),
    /// `protocol NAME`
    Protocol(Spanned<String>),
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// Lets in.
    Allow,
    /// Drops without a word.
    Block,
    /// Answers that it is closed.
    Reject,
}

/// Which way a connection goes, seen from this host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Way {
    /// For this host.
    In,
    /// From this host.
    Out,
    /// To a container, as the outside addresses it.
    Published,
    /// Everything else that passes through.
    Forward,
}

impl Way {
    /// All, in the order in which they are listed.
    pub const ALL: [Way; 4] = [Way::In, Way::Out, Way::Published, Way::Forward];

    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Way::In => "in",
            Way::Out => "out",
            Way::Published => "published",
            Way::Forward => "forward",
        }
    }
}

impl Verdict {
    /// All, in the order in which they are listed.
    pub const ALL: [Verdict; 3] = [Verdict::Allow, Verdict::Block, Verdict::Reject];

    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Block => "block",
            Verdict::Reject => "reject",
        }
    }
}

/// `allow`, `block` or `reject` and what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSentence {
    /// What happens.
    pub verdict: Spanned<Verdict>,
    /// Which way, if said.
    pub way: Option<Spanned<Way>>,
    /// What it speaks of; empty for `block from spam`.
    pub things: Vec<Spanned<Thing>>,
    /// Where from, where to, and the like.
    pub scope: Scope,
    /// `limit …`
    pub limit: Option<Spanned<Limit>>,
    /// `passive 50000-50100`
    pub passive: Option<Spanned<PortRange>>,
    /// `helper`
    pub helper: Option<Span>,
    /// `log`
    pub log: Option<Span>,
    /// `until TIME`: read, and refused by name for now.
    pub until: Option<Spanned<String>>,
}

/// `expect … is allowed`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExpectSentence {
    /// Which way, if said.
    pub way: Option<Spanned<Way>>,
    /// What it speaks of.
    pub things: Vec<Spanned<Thing>>,
    /// Where from, where to, and the like.
    pub scope: Scope,
    /// Whether all of it must be allowed (true) or blocked (false).
    pub allowed: Spanned<bool>,
}

/// A thing that connections are about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Thing {
    /// A service, defined or of the catalogue.
    Name(String),
    /// `22/tcp`
    Ports(Ports),
    /// `ping`
    Ping,
    /// `icmp TYPE`
    Icmp(Spanned<String>),
    /// `protocol NAME` or `protocol NUMBER`
    Protocol(Spanned<String>),
    /// `anything`
    Anything,
}

/// Ports of one or two protocols, in one token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ports {
    /// The ports.
    pub range: PortRange,
    /// Their protocols.
    pub protos: PortProtos,
}

/// The protocols that a ports token can name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PortProtos {
    /// `/tcp`
    Tcp,
    /// `/udp`
    Udp,
    /// `/tcp+udp`
    TcpUdp,
    /// `/sctp`
    Sctp,
}

impl PortProtos {
    /// The word behind the slash.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            PortProtos::Tcp => "tcp",
            PortProtos::Udp => "udp",
            PortProtos::TcpUdp => "tcp+udp",
            PortProtos::Sctp => "sctp",
        }
    }
}

/// Clauses that narrow; each at most once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    /// `from …` with its `except …`.
    pub from: Option<Peer>,
    /// `to …` with its `except …`.
    pub to: Option<Peer>,
    /// `except …` without a `from` or `to` before it: the source, in `out` the destination.
    pub except: Option<Spanned<Vec<Spanned<Value>>>>,
    /// `on eth0, br-*`: names of interfaces or defined names.
    pub on: Option<Spanned<Vec<Spanned<String>>>>,
    /// `by user …`
    pub by_user: Option<By>,
    /// `by group …`
    pub by_group: Option<By>,
    /// `by unit …`: read, and refused by name for now.
    pub by_unit: Option<By>,
}

/// `from …` or `to …`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The clause, `except` included.
    pub span: Span,
    /// Who.
    pub who: Who,
    /// `except …` behind it.
    pub except: Option<Spanned<Vec<Spanned<Value>>>>,
}

/// Who a clause speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// `anyone`
    Anyone,
    /// Addresses and names, or all but these.
    Values {
        /// The word `outside`, if it stands there.
        outside: Option<Span>,
        /// Who.
        values: Vec<Spanned<Value>>,
    },
}

/// Addresses or a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// An address or prefix.
    Prefix(Prefix),
    /// A range of addresses.
    Range(IpRange),
    /// A defined name.
    Name(String),
}

/// `[except] by user …`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct By {
    /// The clause.
    pub span: Span,
    /// Everybody but these.
    pub except: bool,
    /// Names or numbers.
    pub accounts: Vec<Spanned<String>>,
}

/// `limit 6/minute burst 10 per source`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// So many …
    pub rate: Spanned<u32>,
    /// … per so many seconds: 1, 60, 3600 or 86400.
    pub seconds: u32,
    /// `burst`, if said.
    pub burst: Option<Spanned<u32>>,
    /// `per source`
    pub per_source: bool,
    /// `then ban DURATION` in seconds: read, and refused by name for now.
    pub ban: Option<Spanned<u64>>,
}

/// Sentences that translate addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Nat {
    /// `masquerade from … on …`
    Masquerade {
        /// Who is hidden.
        from: Vec<Spanned<Value>>,
        /// The leaving interfaces.
        on: Vec<Spanned<String>>,
    },
    /// `redirect 80/tcp to 8080`
    Redirect {
        /// What is addressed.
        ports: Spanned<Ports>,
        /// The port of this host that gets it.
        to: Spanned<u16>,
    },
    /// `publish 2222/tcp to 10.0.0.5:22`
    Publish {
        /// What is addressed.
        ports: Spanned<Ports>,
        /// Who gets it.
        to: Spanned<std::net::SocketAddr>,
    },
}
