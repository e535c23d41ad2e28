//! Whether one sentence speaks of all that another speaks of, cheaply: a yes is certain, a no is not.

use super::model::{Accounts, Interface, Peers, Rule, Scope};
use super::things;
use crate::net::AddrSet;

/// Whether everything that `b` matches, `a` matches too, limits left aside.
pub(super) fn rule(a: &Rule, b: &Rule) -> bool {
    b.ways.iter().all(|way| a.ways.contains(way))
        && b.traffic.iter().all(|thing| a.traffic.iter().any(|other| things::covers(*other, *thing)))
        && scope(&a.scope, &b.scope)
}

fn scope(a: &Scope, b: &Scope) -> bool {
    on(&a.on, &b.on)
        && accounts(a.user.as_ref(), b.user.as_ref())
        && accounts(a.group.as_ref(), b.group.as_ref())
        && peers(&a.from, &b.from)
        && peers(&a.to, &b.to)
}

/// Whether all of `b` are among `a`.
pub(super) fn peers(a: &Peers, b: &Peers) -> bool {
    if a.is_anyone() || a == b {
        return true;
    }
    let only = match (&a.only, &b.only) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => a.covers(b),
    };
    only && a.except.as_deref().is_none_or(|left_out| without(b, left_out))
}

/// Whether none of `peers` is in `set`.
fn without(peers: &Peers, set: &AddrSet) -> bool {
    let never_said = peers.only.as_deref().is_some_and(|only| !only.meets(set));
    never_said || peers.except.as_deref().is_some_and(|except| except.covers(set))
}

fn on(a: &[Interface], b: &[Interface]) -> bool {
    a.is_empty()
        || (!b.is_empty()
            && b.iter().all(|one| {
                a.iter().any(|all| all == one || (all.wildcard && one.name.starts_with(&all.name)))
            }))
}

fn accounts(a: Option<&Accounts>, b: Option<&Accounts>) -> bool {
    let Some(a) = a else { return true };
    let Some(b) = b else { return false };
    match (a.except, b.except) {
        (false, false) => b.ids.iter().all(|id| a.ids.contains(id)),
        (true, false) => b.ids.iter().all(|id| !a.ids.contains(id)),
        (true, true) => a.ids.iter().all(|id| b.ids.contains(id)),
        (false, true) => false,
    }
}
