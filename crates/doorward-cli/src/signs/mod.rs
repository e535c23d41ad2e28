//! Signs of others on this host: firewall tools, container runtimes, tunnels, and what the kernel has to spare. Reads
//! files, processes, interfaces and tables; judges nothing, changes nothing.

mod judge;
mod passive;
mod system;

pub(crate) use judge::{Finding, Passes, findings};
pub(crate) use passive::passive;
pub(crate) use system::read;

use std::collections::BTreeSet;

/// What tells podman's containers names.
pub(crate) const AARDVARK: &str = "aardvark-dns";

/// What was seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Signs {
    /// Programs that run, by name.
    pub programs: BTreeSet<String>,
    /// Units and scripts that are started at boot, without `.service`.
    pub boots: BTreeSet<String>,
    /// Programs and files that are there, by path.
    pub files: BTreeSet<String>,
    /// Units that flush the ruleset, whether they are started at boot or not, by path.
    pub flushes: Vec<Flush>,
    /// Tables of others.
    pub tables: Vec<Foreign>,
    /// Rules of the iptables from before nftables are there.
    pub legacy: bool,
    /// Interfaces with their kinds.
    pub interfaces: Vec<(String, Option<String>)>,
    /// Docker's own words: `iptables` switched off, the firewall backend.
    pub docker: Docker,
    /// Whether packets are forwarded: IPv4, IPv6.
    pub forwards: [bool; 2],
    /// Tracked connections, and how many there can be.
    pub tracked: Option<(u64, u64)>,
    /// What bridges pass goes through the tables of routers.
    pub bridges_filter: bool,
    /// Whose machine it is, as its firmware says.
    pub vendor: String,
}

/// A unit or a file that empties the ruleset.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Flush {
    /// Its path.
    pub path: String,
    /// The unit that runs it.
    pub unit: String,
    /// Whether that is started at boot.
    pub boots: bool,
}

/// A table of somebody else.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Foreign {
    /// `ip filter`
    pub name: String,
    /// Names of its chains.
    pub chains: Vec<String>,
    /// Chains that drop what no rule accepts, or have rules that drop: name and hook.
    pub drops: Vec<(String, &'static str)>,
}

/// What `/etc/docker/daemon.json` says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Docker {
    /// `"iptables": false`
    pub no_rules: bool,
    /// `"firewall-backend": "nftables"`
    pub nftables: bool,
}

impl Signs {
    /// Whether a program runs.
    pub(crate) fn runs(&self, program: &str) -> bool {
        self.programs.contains(program)
    }

    /// Whether a unit is started at boot.
    pub(crate) fn starts(&self, unit: &str) -> bool {
        self.boots.contains(unit)
    }

    /// Whether a file is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// Whether there is a chain of this stem in a table of somebody else.
    pub(crate) fn has_chain(&self, stem: &str) -> bool {
        self.tables.iter().flat_map(|table| &table.chains).any(|name| name.starts_with(stem))
    }

    /// Whether there is a table of this name, of whatever family.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table.name.split_once(' ').is_some_and(|(_, one)| one == name))
    }

    /// Whether podman has rules, by nftables or by iptables.
    pub(crate) fn has_podman(&self) -> bool {
        self.has_table("netavark") || self.has_chain("NETAVARK")
    }

    /// Whether podman tells its containers names, which they ask for at the host's address on their bridge.
    pub(crate) fn podman_tells_names(&self) -> bool {
        self.runs(AARDVARK)
    }

    /// Interfaces whose names begin so.
    pub(crate) fn interfaces_like(&self, stem: &str) -> Vec<&str> {
        self.interfaces.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with(stem)).collect()
    }

    /// Interfaces of a kind.
    pub(crate) fn interfaces_of(&self, kind: &str) -> Vec<&str> {
        let of = |one: &&(String, Option<String>)| one.1.as_deref() == Some(kind);
        self.interfaces.iter().filter(of).map(|(name, _)| name.as_str()).collect()
    }
}
