//! The word of honour that loading rules is wanted here; without it no socket that writes can be opened.

use crate::netns::{NetNs, NetNsId, OwnNetNs};

/// Rules may be loaded in the namespace that was looked at.
#[derive(Debug)]
#[must_use]
pub struct Guard {
    /// The namespace, where only that one is meant.
    only: Option<NetNsId>,
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
pub fn refuse_host(forbid: bool) -> Result<Guard, HostForbidden> {
    if !forbid {
        return Ok(Guard { only: None });
    }
    let id = |namespace: std::io::Result<NetNs>| namespace.and_then(|ns| ns.id()).ok();
    match (id(NetNs::current()), id(NetNs::of_process(1))) {
        (Some(here), Some(host)) if here != host => Ok(Guard { only: Some(here) }),
        _ => Err(HostForbidden),
    }
}

impl Guard {
    /// A namespace that this process made is always allowed, and no other by this guard.
    pub fn for_own_namespace(own: &OwnNetNs) -> Result<Guard, HostForbidden> {
        match own.namespace().id() {
            Ok(id) => Ok(Guard { only: Some(id) }),
            Err(_) => Err(HostForbidden),
        }
    }

    /// Whether this thread is still where the guard looked.
    pub(crate) fn holds(self) -> bool {
        let Some(only) = self.only else {
            return true;
        };
        NetNs::current().and_then(|ns| ns.id()).is_ok_and(|here| here == only)
    }
}
