//! The policy of last resort, for a boot whose generations are all damaged: closed, but for SSH and what a host needs.

use crate::net::{PortRange, Proto};
use crate::report::Origin;
use crate::resolve::model::{Resolved, Rule, Scope, Traffic, Verdict, Way};
use crate::ruleset::{Expr, Table};
use std::collections::BTreeSet;

/// Where its sentences stand. No file of a policy is called so by accident.
const FILE: &str = "<built in for emergencies>";

/// Whether what judges in a table is that policy. Its number says nothing: a generation on disk can have the same.
#[must_use]
pub fn is_emergency(table: &Table) -> bool {
    super::counted(table).keys().any(|comment| comment.starts_with(FILE))
}

/// Whether this is that policy.
pub(super) fn is_its_policy(policy: &Resolved) -> bool {
    policy.rules.first().is_some_and(|rule| &*rule.origin.file == FILE)
}

/// What must load in an emergency asks nothing of the kernel that it can do without.
pub(super) fn log_nothing(table: &mut Table) {
    for chain in &mut table.chains {
        chain.rules.retain(|rule| !rule.exprs.iter().any(|expr| matches!(expr, Expr::Log(_))));
    }
}

/// Replies, loopback, the ICMP and DHCP that a host needs, and these TCP ports.
#[must_use]
pub fn emergency(ports: &BTreeSet<u16>) -> Resolved {
    let rule = |(line, port): (u32, &u16)| Rule {
        origin: Origin { file: FILE.into(), line, sentence: format!("allow {port}/tcp").into() },
        verdict: Verdict::Allow,
        ways: vec![Way::In],
        traffic: vec![Traffic::Ports(Proto::TCP, PortRange::one(*port))],
        scope: Scope::default(),
        limit: None,
        passive: None,
        log: false,
    };
    Resolved { rules: (1..).zip(ports).map(rule).collect(), ..Resolved::empty() }
}
