//! What is behind the doors of a host: who can come to whom listens, and what is odd about it; asks no system.
//!
//! The doors are those of a proof (every connection that the policy lets in), the programs come from the caller. Each
//! finding says how bad it is, and the sentence that would change it.

mod doors;
mod find;
mod known;
mod page;
mod propose;
mod published;
#[cfg(test)]
mod tests;

pub use doors::{Door, Doors, Reach, Redirect};
pub use known::{Sort, sort_of};
pub use page::page;
pub use propose::{Around, Candidate, Candidates, Passive, Serves, Wishes, propose};
pub use published::published;

use crate::net::Proto;
use crate::report::Origin;
use std::net::IpAddr;

/// Something that listens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Listener {
    /// TCP or UDP.
    pub proto: Proto,
    /// The port.
    pub port: u16,
    /// The address that it is bound to; one that is unspecified stands for all.
    pub addr: IpAddr,
    /// Whether a socket of IPv6 takes IPv4 as well.
    pub both_families: bool,
    /// The program, where it is known.
    pub program: Option<String>,
}

/// A port of a container as the outside sees it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Published {
    /// TCP, UDP or SCTP.
    pub proto: Proto,
    /// The port on the host.
    pub port: u16,
    /// Where it leads: address and port of the container.
    pub to: (IpAddr, u16),
    /// The address of the host that it is published at; one that is unspecified stands for all.
    pub addr: IpAddr,
}

/// What a host has, as it is now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Survey {
    /// Who listens.
    pub listeners: Vec<Listener>,
    /// What containers publish.
    pub published: Vec<Published>,
    /// The host's own addresses.
    pub own: Vec<IpAddr>,
    /// The first port that the system gives to sockets that name none.
    pub ephemeral: u16,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Worth knowing.
    Notice,
    /// Probably not meant.
    Warning,
    /// Somebody can do harm now.
    Critical,
}

impl Level {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Level::Notice => "notice",
            Level::Warning => "warning",
            Level::Critical => "critical",
        }
    }
}

/// Something odd.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Stable name of the kind of finding.
    pub id: &'static str,
    /// The protocol and port that it is about, where it is about one.
    pub door: Option<(Proto, u16)>,
    /// In words.
    pub what: String,
    /// The sentence that opens the door, if one does.
    pub by: Option<Origin>,
    /// What to do about it: commands and sentences, a line each.
    pub ways_out: Vec<String>,
}

/// A port of this host: who listens there, and who can come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// The protocol.
    pub proto: Proto,
    /// The port.
    pub port: u16,
    /// The service that has it, as the catalogue knows.
    pub service: Option<&'static str>,
    /// Whether a container is behind it.
    pub published: bool,
    /// Programs that listen there, or the container's address.
    pub programs: Vec<String>,
    /// Addresses that it listens at, in words.
    pub listens: Vec<String>,
    /// Whether it listens beyond the host itself.
    pub outside: bool,
    /// Who can come over IPv4 and over IPv6; nobody where nobody listens in that family.
    pub reach: [Reach; 2],
    /// The sentence that lets them in.
    pub by: Option<Origin>,
    /// The worst that was found about it.
    pub level: Option<Level>,
}

/// What an audit found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Ports that somebody listens at, or that are open.
    pub ports: Vec<Port>,
    /// What is odd, the worst first.
    pub findings: Vec<Finding>,
}

/// Looks at all doors and all who listen.
#[must_use]
pub fn audit(survey: &Survey, doors: &Doors<'_>) -> Audit {
    find::audit(survey, doors)
}
