//! What the host has that a policy can name: interfaces, addresses, accounts; judges nothing.

use doorward::meaning;
use doorward::resolve::{Host, HostInterface, Loaded};
use doorward::syntax::ast::{Scope, SentenceKind};
use doorward_kernel::link::Links;
use std::collections::BTreeMap;
use std::fs;

/// What resolving asks of the host; accounts only if the policy names any.
pub(crate) fn facts(loaded: &Loaded) -> Host {
    let mut host = Host { interfaces: interfaces(), ..Host::default() };
    let scopes = || loaded.sentences.iter().filter_map(|sentence| scope(&sentence.kind));
    if scopes().any(|scope| scope.by_user.is_some()) {
        host.users = accounts("/etc/passwd");
    }
    if scopes().any(|scope| scope.by_group.is_some()) {
        host.groups = accounts("/etc/group");
    }
    host
}

/// What the meaning of a policy asks of the host.
pub(crate) fn own_addresses() -> meaning::Host {
    let addresses = Links::open().and_then(|links| links.addresses()).unwrap_or_default();
    meaning::Host { own: addresses.into_iter().map(|one| one.addr).collect() }
}

fn scope(kind: &SentenceKind) -> Option<&Scope> {
    match kind {
        SentenceKind::Rule(rule) => Some(&rule.scope),
        SentenceKind::Expect(expect) => Some(&expect.scope),
        _ => None,
    }
}

/// Where they cannot be told, none: then none is missed.
fn interfaces() -> Vec<HostInterface> {
    let links = Links::open().and_then(|links| links.links()).unwrap_or_default();
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
