//! A policy with every name replaced by its value: what the compiler and the meaning read.

use crate::net::{AddrSet, Family, IcmpType, PortRange, Proto};
use crate::report::Origin;
pub use crate::syntax::ast::{Verdict, Way};
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

/// A policy without names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// `allow`, `block` and `reject` sentences, in the order of the text.
    pub rules: Vec<Rule>,
    /// `trust` sentences.
    pub trust: Vec<Trust>,
    /// What happens to a connection that no sentence decides.
    pub defaults: Defaults,
    /// `expect` sentences.
    pub expects: Vec<Expect>,
    /// Sentences that translate addresses: `masquerade`, `redirect`, `publish`.
    pub nat: Vec<Nat>,
    /// Names of bridges of this host: what stays on one of them passes.
    pub bridges: Vec<String>,
}

impl Resolved {
    /// The policy without sentences.
    #[must_use]
    pub fn empty() -> Resolved {
        Resolved {
            rules: Vec::new(),
            trust: Vec::new(),
            defaults: Defaults::built_in(),
            expects: Vec::new(),
            nat: Vec::new(),
            bridges: Vec::new(),
        }
    }
}

/// What happens to the rest, per way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Defaults {
    /// For this host.
    pub r#in: DefaultRule,
    /// From this host.
    pub out: DefaultRule,
    /// To containers.
    pub published: DefaultRule,
    /// Passing through.
    pub forward: DefaultRule,
}

impl Defaults {
    /// What holds where no sentence says otherwise.
    #[must_use]
    pub fn built_in() -> Defaults {
        let of = |verdict| DefaultRule { verdict, origin: None };
        Defaults {
            r#in: of(Verdict::Block),
            out: of(Verdict::Allow),
            published: of(Verdict::Block),
            forward: of(Verdict::Block),
        }
    }

    /// The default of a way.
    #[must_use]
    pub fn of(&self, way: Way) -> &DefaultRule {
        match way {
            Way::In => &self.r#in,
            Way::Out => &self.out,
            Way::Published => &self.published,
            Way::Forward => &self.forward,
        }
    }
}

/// A default and the sentence that says so, if the policy does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DefaultRule {
    /// What happens.
    pub verdict: Verdict,
    /// The sentence; none for what is built in.
    pub origin: Option<Origin>,
}

/// A `trust` sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    /// Who.
    pub who: Arc<AddrSet>,
    /// The sentence.
    pub origin: Origin,
}

/// An `allow`, `block` or `reject` sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The sentence.
    pub origin: Origin,
    /// What happens.
    pub verdict: Verdict,
    /// The ways it covers, at least one, without repetition.
    pub ways: Vec<Way>,
    /// What it speaks of; never empty: everything is [`Traffic::Any`].
    pub traffic: Vec<Traffic>,
    /// Which connections of these.
    pub scope: Scope,
    /// Above this rate the sentence does not match.
    pub limit: Option<Limit>,
    /// Passive data ports that open beside the control port.
    pub passive: Option<Passive>,
    /// Whether to log.
    pub log: bool,
}

/// What connections are about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Traffic {
    /// Every protocol.
    Any,
    /// Ports of a protocol that has them.
    Ports(Proto, PortRange),
    /// An ICMP type, in the families that have it.
    Icmp(IcmpType),
    /// A whole protocol.
    Protocol(Proto),
}

/// Which connections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    /// Where they come from.
    pub from: Peers,
    /// Where they go: what the peer addressed, in `out` what the program addressed.
    pub to: Peers,
    /// The interfaces: where they arrive, in `out` where they leave; empty for all.
    pub on: Vec<Interface>,
    /// The users who opened the socket; only in `out`.
    pub user: Option<Accounts>,
    /// The groups of the one who opened the socket; only in `out`.
    pub group: Option<Accounts>,
}

/// A set of addresses as the sentence says it: everybody or some, without others.
///
/// `outside office` stays everybody without the office, as its complement would be many prefixes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Peers {
    /// Who; none for everybody.
    pub only: Option<Arc<AddrSet>>,
    /// Without whom; none for nobody.
    pub except: Option<Arc<AddrSet>>,
}

impl Peers {
    /// The exact set.
    #[must_use]
    pub fn set(&self) -> AddrSet {
        let only = self.only.as_deref().cloned().unwrap_or_else(AddrSet::everyone);
        match &self.except {
            Some(except) => only.minus(except),
            None => only,
        }
    }

    /// Whether this says nothing.
    #[must_use]
    pub fn is_anyone(&self) -> bool {
        self.only.is_none() && self.except.is_none()
    }

    /// Whether `addr` is among them.
    #[must_use]
    pub fn contains(&self, addr: std::net::IpAddr) -> bool {
        self.only.as_ref().is_none_or(|set| set.contains(addr))
            && !self.except.as_ref().is_some_and(|set| set.contains(addr))
    }

    /// Whether nobody of a family is among those said.
    #[must_use]
    pub fn lacks(&self, family: Family) -> bool {
        self.only.as_ref().is_some_and(|set| set.lacks(family))
            || self.except.as_ref().is_some_and(|set| set.is_all(family))
    }
}

/// A name of an interface, or of all that start so.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interface {
    /// The name without the star, at most 15 bytes.
    pub name: String,
    /// Whether it stands for all that start so (`br-*`).
    pub wildcard: bool,
}

impl Display for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.name, if self.wildcard { "*" } else { "" })
    }
}

impl Interface {
    /// Whether the name of an interface is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.wildcard { name.starts_with(&self.name) } else { name == self.name }
    }
}

/// Accounts by number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Accounts {
    /// Everybody but these; a packet without an owner counts as not one of them.
    pub except: bool,
    /// User or group ids.
    pub ids: Vec<u32>,
}

/// A rate; never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Limit {
    /// So many …
    pub rate: u32,
    /// … per so many seconds.
    pub seconds: u32,
    /// Size of the bucket.
    pub burst: u32,
    /// One bucket per IPv4 address or IPv6 /64 instead of one for the sentence.
    pub per_source: bool,
}

/// How passive data connections get in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Passive {
    /// The range.
    pub range: PortRange,
    /// Only what the conntrack helper saw announced on the control connection.
    pub helper: bool,
}

/// An `expect` sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expect {
    /// The sentence.
    pub origin: Origin,
    /// Which way.
    pub way: Way,
    /// What it speaks of.
    pub traffic: Vec<Traffic>,
    /// Which connections of these.
    pub scope: Scope,
    /// Whether all of them must be allowed, or all blocked.
    pub allowed: bool,
}

/// A sentence that translates one end of connections as they begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nat {
    /// The sentence.
    pub origin: Origin,
    /// What it translates.
    pub what: Translation,
}

/// What is translated to what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Translation {
    /// Connections from these that leave there come from this host's address there.
    Masquerade {
        /// From whom.
        from: Arc<AddrSet>,
        /// The leaving interfaces, at least one.
        on: Vec<Interface>,
    },
    /// What is addressed to this host at these ports, and arrives, gets to another port of it.
    Redirect {
        /// The ports that are addressed, at least one range.
        ports: Vec<(Proto, PortRange)>,
        /// The port that gets it.
        to: u16,
    },
    /// What is addressed to this host at these ports, and arrives, gets to somebody else.
    Publish {
        /// The ports that are addressed, at least one range.
        ports: Vec<(Proto, PortRange)>,
        /// Who gets it; connections of the other family are left alone.
        to: SocketAddr,
    },
}

impl Translation {
    /// The same in sentences that need no names.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let to = |end: &dyn Display, word: &str| {
            self.ports().iter().map(|(proto, range)| format!("{word} {range}/{proto} to {end}")).collect()
        };
        match self {
            Translation::Masquerade { from, on } => {
                let prefixes = Family::BOTH.into_iter().flat_map(|family| from.prefixes(family));
                let from: Vec<String> = prefixes.map(|prefix| prefix.to_string()).collect();
                let on: Vec<String> = on.iter().map(Interface::to_string).collect();
                vec![format!("masquerade from {} on {}", from.join(", "), on.join(", "))]
            }
            Translation::Redirect { to: port, .. } => to(port, "redirect"),
            Translation::Publish { to: end, .. } => to(end, "publish"),
        }
    }

    /// The ports that are addressed; none where the source is translated.
    #[must_use]
    pub fn ports(&self) -> &[(Proto, PortRange)] {
        match self {
            Translation::Masquerade { .. } => &[],
            Translation::Redirect { ports, .. } | Translation::Publish { ports, .. } => ports,
        }
    }

    /// Whether connections of a family are translated.
    #[must_use]
    pub fn covers(&self, family: Family) -> bool {
        match self {
            Translation::Masquerade { from, .. } => !from.lacks(family),
            Translation::Redirect { .. } => true,
            Translation::Publish { to, .. } => Family::of(to.ip()) == family,
        }
    }
}
