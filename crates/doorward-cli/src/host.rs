//! What the host has that a policy or a question can name: interfaces, addresses, accounts; judges nothing.

use doorward::explain;
use doorward::meaning;
use doorward::resolve::{Host, HostInterface, Loaded};
use doorward::syntax::ast::{Scope, SentenceKind};
use doorward_kernel::link::Links;
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

/// What is asked of the host for one policy.
#[derive(Default)]
pub(crate) struct Facts {
    /// For resolving names.
    pub named: Host,
    /// For the meaning.
    pub own: meaning::Host,
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
    links
        .into_iter()
        .map(|link| HostInterface { is_bridge: link.kind.as_deref() == Some("bridge"), name: link.name })
        .collect()
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

/// Names and numbers of a file like `/etc/passwd`. Local files only: nothing is asked over the network.
fn accounts(path: &str) -> BTreeMap<String, u32> {
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
