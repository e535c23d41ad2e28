//! Names and addresses of the throw-away network, chosen so that the policy does not speak of them by chance.

use doorward::net::{AddrSet, Family};
use doorward::resolve::model::{Interface, Nat, Resolved, Scope, Translation};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Addresses for documentation and measurements, none of them anybody's.
const FREE: [&str; 20] = [
    "198.51.100.7",
    "192.0.2.1",
    "192.0.2.80",
    "198.18.0.2",
    "203.0.113.7",
    "198.18.77.1",
    "198.18.77.80",
    "198.19.0.2",
    "198.19.77.3",
    "198.19.99.9",
    "2001:db8:7::7",
    "2001:db8::1",
    "2001:db8::80",
    "2001:db8:c::2",
    "3fff::7",
    "3fff:1::1",
    "3fff:1::80",
    "3fff:c::2",
    "3fff:d::2",
    "3fff:e::2",
];

/// One address of each family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) four: IpAddr,
    pub(super) six: IpAddr,
}

impl Pair {
    pub(super) fn of(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.four,
            Family::V6 => self.six,
        }
    }

    pub(super) fn both(self) -> [IpAddr; 2] {
        [self.four, self.six]
    }
}

/// The throw-away network.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// Somebody of whom the policy says nothing.
    pub(super) anyone: Pair,
    /// The host.
    pub(super) host: Pair,
    /// Where published ports are addressed.
    pub(super) published: Pair,
    /// Where they lead to.
    pub(super) container: Pair,
    /// Interfaces of the host; the first is none that the policy names, if it does not name all.
    pub(super) interfaces: Vec<String>,
    /// The interface behind which containers are.
    pub(super) inner: String,
}

/// The port that published ports lead to.
pub(super) const CONTAINER_PORT: u16 = 4711;

impl Places {
    pub(super) fn of(policy: &Resolved) -> Places {
        let sets = sets(policy);
        // Where something is published is somebody.
        let mut taken: BTreeSet<IpAddr> = policy.nat.iter().filter_map(published_at).collect();
        let anyone = free(&sets, &mut taken);
        let host = free(&sets, &mut taken);
        let published = free(&sets, &mut taken);
        let container = free(&sets, &mut taken);
        let leaving = policy.nat.iter().flat_map(|nat| match &nat.what {
            Translation::Masquerade { on, .. } => on.as_slice(),
            _ => &[],
        });
        let named: Vec<&Interface> = scopes(policy).flat_map(|scope| &scope.on).chain(leaving).collect();
        let is_named = |name: &str| named.iter().any(|on| on.matches(name));
        let plain = ["eth0", "ens3", "enp1s0", "wan0", "net0"];
        let first = plain.into_iter().find(|name| !is_named(name)).unwrap_or("other0");
        let mut interfaces = vec![first.to_owned()];
        for on in &named {
            let name = example(on);
            if name != "lo" && name.len() <= 15 && !interfaces.contains(&name) {
                interfaces.push(name);
            }
        }
        let inner = ["inner0", "veth7", "cont0"].into_iter().find(|name| !is_named(name)).unwrap_or("inner1");
        Places { anyone, host, published, container, interfaces, inner: inner.to_owned() }
    }
}

/// A name that an interface of a sentence can have.
pub(super) fn example(on: &Interface) -> String {
    if on.wildcard && on.name.len() < 15 { format!("{}0", on.name) } else { on.name.clone() }
}

fn scopes(policy: &Resolved) -> impl Iterator<Item = &Scope> {
    policy.rules.iter().map(|rule| &rule.scope).chain(policy.expects.iter().map(|expect| &expect.scope))
}

fn published_at(nat: &Nat) -> Option<IpAddr> {
    match &nat.what {
        Translation::Publish { to, .. } => Some(to.ip()),
        _ => None,
    }
}

fn sets(policy: &Resolved) -> Vec<&AddrSet> {
    let trusted = policy.trust.iter().map(|trust| &trust.who);
    let peers = scopes(policy).flat_map(|scope| [&scope.from, &scope.to]);
    let hidden = policy.nat.iter().filter_map(|nat| match &nat.what {
        Translation::Masquerade { from, .. } => Some(from),
        _ => None,
    });
    let said = peers.flat_map(|peers| peers.only.iter().chain(&peers.except)).chain(trusted).chain(hidden);
    // Lists are shared; each is asked once.
    let mut seen = BTreeSet::new();
    said.filter(|set| seen.insert(std::sync::Arc::as_ptr(set))).map(|set| &**set).collect()
}

fn free(sets: &[&AddrSet], taken: &mut BTreeSet<IpAddr>) -> Pair {
    let [four, six] = Family::BOTH.map(|family| {
        let of_family = || {
            FREE.iter().filter_map(|text| text.parse::<IpAddr>().ok()).filter(|a| Family::of(*a) == family)
        };
        let unused: Vec<IpAddr> = of_family().filter(|addr| !taken.contains(addr)).collect();
        let unspoken = unused.iter().find(|addr| !sets.iter().any(|set| set.contains(**addr)));
        unspoken.or(unused.first()).copied().unwrap_or(match family {
            Family::V4 => IpAddr::from([198, 51, 100, 7]),
            Family::V6 => IpAddr::from([0x2001, 0xdb8, 7, 0, 0, 0, 0, 7]),
        })
    });
    taken.extend([four, six]);
    Pair { four, six }
}
