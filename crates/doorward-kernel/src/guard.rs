//! The word of honour that loading rules is wanted here; without it no socket that writes can be opened.

use std::marker::PhantomData;

use crate::netns::{NetNs, NetNsId, OwnNetNs};

/// A namespace that this process made.
#[derive(Clone, Copy, Debug)]
pub struct Own;

/// Any namespace: the host's, for all that is known. Only what was proven is loaded there.
#[derive(Clone, Copy, Debug)]
pub struct Anywhere;

/// Rules may be loaded in the namespace that was looked at.
#[derive(Debug)]
#[must_use]
pub struct Guard<Where = Own> {
    /// The namespace, where only that one is meant.
    only: Option<NetNsId>,
    place: PhantomData<Where>,
}

/// The initial network namespace is out of bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "this is the host's own network namespace, or it cannot be told, and loading rules there is forbidden"
)]
pub struct HostForbidden;

/// Looks whether rules may be loaded where this thread is.
///
/// With `forbid`, the namespace of process 1 is refused; and so is any where that cannot be told.
pub fn refuse_host(forbid: bool) -> Result<Guard<Anywhere>, HostForbidden> {
    if !forbid {
        return Ok(Guard { only: None, place: PhantomData });
    }
    let here = NetNs::current().and_then(|ns| ns.id()).map_err(|_| HostForbidden)?;
    let elsewhere = match NetNs::of_process(1).and_then(|ns| ns.id()) {
        Ok(host) => here != host,
        Err(_) => !here.is_first() && an_ancestor_is_in_the_first(),
    };
    if elsewhere { Ok(Guard { only: Some(here), place: PhantomData }) } else { Err(HostForbidden) }
}

/// Whether a process above this one is in the namespace with which the kernel began. Where process 1 may not be
/// looked at, this shows that the kernel gives that namespace its fixed number, so that another number is another
/// namespace.
fn an_ancestor_is_in_the_first() -> bool {
    const GENERATIONS: usize = 64;
    let mut pid = std::process::id();
    for _ in 0..GENERATIONS {
        if NetNs::of_process(pid).and_then(|ns| ns.id()).is_ok_and(NetNsId::is_first) {
            return true;
        }
        match parent(pid) {
            Some(above) if above > 1 => pid = above,
            _ => return false,
        }
    }
    false
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in parentheses and may contain any.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}

impl Guard<Own> {
    /// A namespace that this process made is always allowed, and no other by this guard.
    pub fn for_own_namespace(own: &OwnNetNs) -> Result<Guard, HostForbidden> {
        match own.namespace().id() {
            Ok(id) => Ok(Guard { only: Some(id), place: PhantomData }),
            Err(_) => Err(HostForbidden),
        }
    }
}

impl<Where> Guard<Where> {
    /// Whether this thread is still where the guard looked.
    pub(crate) fn holds(self) -> bool {
        let Some(only) = self.only else {
            return true;
        };
        NetNs::current().and_then(|ns| ns.id()).is_ok_and(|here| here == only)
    }
}
