//! What the host has that a policy or a question can name: interfaces, addresses, accounts; judges nothing.

use doorward::explain;
use doorward::meaning;
use doorward::net::{AddrSet, Family, Prefix};
use doorward::prove::Wiring;
use doorward::resolve::{Forwarding, Host, HostInterface, Loaded};
use doorward::syntax::ast::{Scope, SentenceKind};
use doorward_kernel::link::{Address, Link, Links};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Addresses far away, to which the system is asked for the way; nothing is sent.
const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V6(Ipv6Addr::new(0x2600, 0, 0, 0, 0, 0, 0, 0))];

/// What is asked of the host for one policy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Facts {
    /// For resolving names.
    pub named: Host,
    /// For the meaning.
    pub own: meaning::Host,
}

/// What rules in the kernel speak of, and who this host is.
#[derive(Default)]
pub(crate) struct Around {
    /// Names of interfaces by index.
    pub interfaces: BTreeMap<u32, String>,
    /// Those that are bridges.
    pub bridges: BTreeSet<String>,
    /// The host's own addresses, with the interfaces that have them.
    pub addresses: Vec<(IpAddr, u32)>,
    /// The networks that they are in, with the interfaces.
    pub networks: Vec<(Prefix, u32)>,
}

impl Around {
    /// Asks the system; what it does not tell is not there.
    pub(crate) fn ask() -> Around {
        let Ok(socket) = Links::open() else { return Around::default() };
        let links = socket.links().unwrap_or_default();
        let addresses = socket.addresses().unwrap_or_default();
        Around {
            bridges: links.iter().filter(|link| is_bridge(link)).map(|link| link.name.clone()).collect(),
            interfaces: links.into_iter().map(|link| (link.index, link.name)).collect(),
            networks: addresses.iter().map(|one| (around(one), one.index)).collect(),
            addresses: addresses.into_iter().map(|one| (one.addr, one.index)).collect(),
        }
    }

    /// What a proof is told of it, with the way to ask for a route.
    pub(crate) fn wiring<'a>(&self, route: &'a dyn Fn(IpAddr) -> Option<String>) -> Wiring<'a> {
        let name = |index: &u32| self.interfaces.get(index).cloned();
        let networks = self.networks.iter().filter_map(|(network, index)| Some((*network, name(index)?)));
        // The bridge of a host of virtual machines may be how it reaches the world itself.
        let out: Vec<String> = FAR.iter().filter_map(|addr| route(*addr)).collect();
        Wiring {
            own: self.own(),
            interfaces: self.interfaces.values().cloned().collect(),
            bridges: self.bridges.iter().filter(|name| !out.contains(name)).cloned().collect(),
            networks: networks.collect(),
            route,
        }
    }

    /// The interface by which an address is reached, as the system says.
    pub(crate) fn way_to(&self, addr: IpAddr) -> Option<String> {
        let (index, _) = Links::open().ok()?.route_to(addr)?;
        self.interfaces.get(&index).cloned()
    }

    /// The host's own addresses.
    pub(crate) fn own(&self) -> AddrSet {
        AddrSet::new(self.addresses.iter().map(|(addr, _)| Prefix::host(*addr)), [])
    }

    /// Of the bridges that a loaded program knows by name, those that are bridges now or are gone. It knows those
    /// that came later by their kind, so a policy is compared with it as if they were not there.
    pub(crate) fn as_loaded(&self, known: BTreeSet<String>) -> Vec<String> {
        let gone = |name: &String| !self.interfaces.values().any(|there| there == name);
        known.into_iter().filter(|name| self.bridges.contains(name) || gone(name)).collect()
    }

    /// The interface that has an address.
    pub(crate) fn interface_of(&self, addr: IpAddr) -> Option<&str> {
        let (_, index) = self.addresses.iter().find(|(own, _)| *own == addr)?;
        self.interfaces.get(index).map(String::as_str)
    }
}

fn around(one: &Address) -> Prefix {
    let number = match one.addr {
        IpAddr::V4(addr) => addr.to_bits().into(),
        IpAddr::V6(addr) => addr.to_bits(),
    };
    Prefix::around(Family::of(one.addr), number, one.prefix_len)
}

/// Asks for what the policy needs: accounts only if it names any, addresses only if it expects something.
/// What the system does not tell is not there.
pub(crate) fn facts(loaded: &Loaded) -> Facts {
    let mut facts = Facts::default();
    let kinds = || loaded.sentences.iter().map(|sentence| &sentence.kind);
    if let Ok(links) = Links::open() {
        facts.named.interfaces = interfaces(&links);
        if kinds().any(|kind| matches!(kind, SentenceKind::Expect(_))) {
            let addresses = links.addresses().unwrap_or_default();
            facts.own.own = addresses.into_iter().map(|one| one.addr).collect();
        }
    }
    let scopes = || kinds().filter_map(scope);
    if kinds().any(|kind| matches!(kind, SentenceKind::Nat(_))) {
        let is_on =
            |switch: &str| Some(fs::read(format!("/proc/sys/net/{switch}")).ok()?.trim_ascii() != b"0");
        facts.named.forwarding =
            Forwarding { v4: is_on("ipv4/ip_forward"), v6: is_on("ipv6/conf/all/forwarding") };
    }
    if scopes().any(|scope| scope.by_user.is_some()) {
        facts.named.users = accounts("/etc/passwd");
    }
    if scopes().any(|scope| scope.by_group.is_some()) {
        facts.named.groups = accounts("/etc/group");
    }
    facts
}

fn scope(kind: &SentenceKind) -> Option<&Scope> {
    match kind {
        SentenceKind::Rule(rule) => Some(&rule.scope),
        SentenceKind::Expect(expect) => Some(&expect.scope),
        _ => None,
    }
}

fn interfaces(links: &Links) -> Vec<HostInterface> {
    let links = links.links().unwrap_or_default();
    links.into_iter().map(|link| HostInterface { is_bridge: is_bridge(&link), name: link.name }).collect()
}

/// What a question about a packet between these addresses can lean on. What the system does not tell is not there.
pub(crate) fn surroundings(ends: &[IpAddr], accounts_too: bool) -> explain::Facts {
    let mut facts = explain::Facts::default();
    if let Ok(links) = Links::open() {
        let addresses = links.addresses().unwrap_or_default();
        let all = links.links().unwrap_or_default();
        let name = |index: u32| all.iter().find(|link| link.index == index).map(|link| link.name.clone());
        facts.routes = ends
            .iter()
            .filter_map(|end| {
                let (index, source) = links.route_to(*end)?;
                Some((*end, explain::Route { iface: name(index)?, source }))
            })
            .collect();
        facts.interfaces = all
            .iter()
            .map(|link| explain::Interface {
                name: link.name.clone(),
                index: link.index,
                kind: link.kind.clone(),
                up: link.is_up(),
                loopback: link.is_loopback(),
                addresses: addresses
                    .iter()
                    .filter(|one| one.index == link.index)
                    .map(|one| one.addr)
                    .collect(),
            })
            .collect();
    }
    if accounts_too {
        facts.groups = accounts("/etc/group");
        let bytes = fs::read("/etc/passwd").unwrap_or_default();
        facts.users = String::from_utf8_lossy(&bytes).lines().filter_map(user).collect();
    }
    facts
}

/// A user with the first group: `www-data:x:33:33:…`
fn user(line: &str) -> Option<(String, (u32, u32))> {
    let (name, uid) = account(line)?;
    Some((name, (uid, line.split(':').nth(3)?.parse().ok()?)))
}

fn is_bridge(link: &Link) -> bool {
    link.kind.as_deref() == Some("bridge")
}

/// What this host is called.
pub(crate) fn name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "this host".to_owned(),
        name => name.to_owned(),
    }
}

/// The name of a user, if it has one here.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    accounts("/etc/passwd").into_iter().find(|(_, number)| *number == uid).map(|(name, _)| name)
}

/// Names and numbers of a file like `/etc/passwd`. Local files only: nothing is asked over the network.
pub(crate) fn accounts(path: impl AsRef<Path>) -> BTreeMap<String, u32> {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().filter_map(account).collect()
}

/// `www-data:x:33:…`
fn account(line: &str) -> Option<(String, u32)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{account, user};

    #[test]
    fn accounts_of_passwd_and_group() {
        let www = Some(("www-data".to_owned(), 33));
        assert_eq!(account("www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin"), www);
        assert_eq!(account("www-data:x:33:"), www);
        assert_eq!(user("mail:x:8:12:mail:/var/mail:/bin/sh"), Some(("mail".to_owned(), (8, 12))));
        for line in ["", ":x:1:", "+", "name:x", "name:x:-1:", "# x:y:1:"] {
            assert_eq!(account(line).filter(|_| !line.starts_with('#')), None, "{line}");
        }
    }
}
