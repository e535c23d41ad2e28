//! What a policy translates, of one connection and of all; knows no ruleset.
//!
//! Destinations are translated as connections arrive, before anything is judged, and only where they were addressed
//! to this host; sources as they leave, after everything was judged. What this host opens to itself arrives nowhere.

use super::{Connection, Host, Path};
use crate::net::{How, Translated};
use crate::report::Origin;
use crate::resolve::model::{Interface, Resolved, Translation};
use crate::space::{Field, LOCAL, Pred, Terms, name_value, state};
use std::net::SocketAddr;

/// Where a connection is translated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum End {
    /// Its destination, where it arrives.
    Destination,
    /// Its source, where it leaves.
    Source,
}

/// What the destination of a connection that arrives becomes, and by which sentence.
#[must_use]
pub fn led(policy: &Resolved, host: &Host, connection: &Connection) -> Option<(Translated, Origin)> {
    let (to, port) = (connection.addressed(), connection.port()?);
    let arrives = !matches!(connection.path, Path::Out { .. });
    if !arrives || !(host.own.contains(&to) || to.is_loopback()) {
        return None;
    }
    let proto = connection.proto();
    let found = policy.nat.iter().find(|one| {
        one.what.covers(connection.family())
            && one.what.ports().iter().any(|(of, range)| *of == proto && range.contains(port))
    })?;
    Some((end(&found.what), found.origin.clone()))
}

/// The sentence by which a connection leaves from an address of this host instead of its own.
#[must_use]
pub fn masqueraded(policy: &Resolved, connection: &Connection) -> Option<Origin> {
    let oif = match &connection.path {
        Path::In { .. } => return None,
        Path::Out { iface, .. } => iface,
        Path::Forward { oif, .. } => oif,
    };
    let found = policy.nat.iter().find(|one| match &one.what {
        Translation::Masquerade { from, on } => {
            from.contains(connection.from) && on.iter().any(|on| on.matches(oif))
        }
        _ => false,
    })?;
    Some(found.origin.clone())
}

/// What all connections become at one end, each end with those that get it.
#[must_use]
pub fn all(policy: &Resolved, which: End, terms: &mut Terms) -> Vec<(Translated, Pred)> {
    let family = terms.family();
    let mut ends: Vec<(Translated, Vec<Pred>)> = Vec::new();
    for one in policy.nat.iter().filter(|one| one.what.covers(family)) {
        let is_source = matches!(one.what, Translation::Masquerade { .. });
        if is_source != (which == End::Source) {
            continue;
        }
        let about = about(&one.what, terms);
        let end = end(&one.what);
        match ends.iter_mut().find(|(known, _)| *known == end) {
            Some((_, all)) => all.push(about),
            None => ends.push((end, vec![about])),
        }
    }
    ends.into_iter().map(|(end, about)| (end, Pred::any(about))).collect()
}

/// First packets of connections: all that is ever translated by itself. What belongs to a connection that another
/// one announced begins one, too.
#[must_use]
pub fn beginnings(terms: &mut Terms) -> Pred {
    let begins = vec![(state::NEW, state::NEW), (state::RELATED, state::RELATED)];
    // Fragments are put together before.
    Pred::all([terms.within(&Field::State, begins), terms.flag(&Field::LaterFragment).negated()])
}

fn about(what: &Translation, terms: &mut Terms) -> Pred {
    if let Translation::Masquerade { from, on } = what {
        let leaves = terms.within(&Field::Oif, on.iter().map(names).collect());
        return Pred::all([terms.addresses(&Field::Source, from), leaves]);
    }
    let ours = terms.equals(&Field::DESTINATION_TYPE, LOCAL);
    let ports: Vec<Pred> = what
        .ports()
        .iter()
        .map(|(proto, range)| {
            let port = terms.within(&Field::Port, vec![(range.first().into(), range.last().into())]);
            Pred::all([terms.equals(&Field::Protocol, proto.0.into()), port])
        })
        .collect();
    Pred::all([ours, Pred::any(ports)])
}

/// Names of interfaces as numbers, from the first to the last.
fn names(interface: &Interface) -> (u128, u128) {
    let first = name_value(&interface.name);
    let rest = u32::try_from(interface.name.len()).unwrap_or(16) * 8;
    let last = if interface.wildcard { first | u128::MAX.checked_shr(rest).unwrap_or(0) } else { first };
    (first, last)
}

fn end(what: &Translation) -> Translated {
    match what {
        Translation::Masquerade { .. } => Translated::MASQUERADE,
        Translation::Redirect { to, .. } => Translated::to_port(*to),
        Translation::Publish { to, .. } => to_somebody(*to),
    }
}

fn to_somebody(to: SocketAddr) -> Translated {
    Translated { how: How::Destination, addr: Some(to.ip()), port: Some(to.port()) }
}
