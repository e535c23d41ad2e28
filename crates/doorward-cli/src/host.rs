//! What the host has that a policy can name: interfaces, addresses, accounts; judges nothing.

use doorward::meaning;
use doorward::resolve::{Host, HostInterface, Loaded};
use doorward::syntax::ast::{Scope, SentenceKind};
use doorward_kernel::link::Links;
use std::collections::BTreeMap;
use std::fs;

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
    use super::account;

    #[test]
    fn accounts_of_passwd_and_group() {
        let www = Some(("www-data".to_owned(), 33));
        assert_eq!(account("www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin"), www);
        assert_eq!(account("www-data:x:33:"), www);
        for line in ["", ":x:1:", "+", "name:x", "name:x:-1:", "# x:y:1:"] {
            assert_eq!(account(line).filter(|_| !line.starts_with('#')), None, "{line}");
        }
    }
}
