//! Connection tracking of this network namespace over ctnetlink: finding, listing, marking and deleting entries;
//! knows no rule and no policy.
//!
//! The kernel's side is `net/netfilter/nf_conntrack_netlink.c`. A kernel without it refuses every question
//! (`EINVAL`, or `EOPNOTSUPP`); a namespace in which nothing asked for tracking has no entries.

mod attributes;
mod entry;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use rustix::io::Errno;

use crate::guard::Guard;
use crate::socket::{Channel, Dumped, KernelError};
use crate::wire::Writer;

pub(crate) use attributes::read_original;
use attributes::{DELETE, GET, NEW, cta, read_entry, write_tuple};
pub use entry::{Detail, Entry, TcpState, Tuple, Zone, ZoneDir, status};

/// `NETLINK_NETFILTER`.
const NETFILTER: isize = 12;
const WHAT: &str = "tracked connections";

/// Which entries to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// All of them, of both families and every zone.
    All,
    /// Those of which `mark & mask == value`; the kernel looks. Bits of the value outside the mask do not count.
    Marked {
        /// What those bits are.
        value: u32,
        /// The bits that count.
        mask: u32,
    },
}

/// What a walk over the entries saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walk {
    /// Each entry that was there from beginning to end. One that came or went meanwhile may be among them or not.
    Whole,
    /// The kernel lost its place, or answers were lost: some may be missing, or told twice. Walk again.
    Torn,
}

/// What became of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an entry may be gone before it is changed"]
pub enum Change {
    /// It was made.
    Made,
    /// There is no such entry any more.
    Gone,
}

/// A socket for reading the entries of the namespace in which it was opened. Needs `CAP_NET_ADMIN` there.
pub struct Conntrack {
    channel: Channel,
}

impl Conntrack {
    /// Opens a socket in the namespace of this thread.
    pub fn open() -> Result<Conntrack, KernelError> {
        Ok(Conntrack { channel: Channel::open(NETFILTER, WHAT)? })
    }

    /// The entry of which this is the original tuple or that of the replies; without a zone in zone 0.
    pub fn find(&self, tuple: &Tuple, zone: Option<Zone>) -> Result<Option<Entry>, KernelError> {
        let mut found = None;
        let body = |w: &mut Writer| {
            // The kernel keeps both directions in one table and finds either under either name; the name only
            // says for which direction a zone holds.
            let kind = match zone {
                Some(Zone { dir: ZoneDir::Reply, .. }) => cta::TUPLE_REPLY,
                _ => cta::TUPLE_ORIG,
            };
            write_key(w, kind, tuple, zone);
        };
        match self.channel.request(GET, 0, body, |message| found = read_entry(message)) {
            Ok(()) => Ok(found),
            Err(KernelError::Refused { errno: Errno::NOENT, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Shows each entry as it arrives: nothing is kept here, however many there are.
    pub fn walk(&self, which: Which, mut each: impl FnMut(Entry)) -> Result<Walk, KernelError> {
        let dumped = self.channel.dump(
            GET,
            |w| write_filter(w, which),
            |message| {
                if let Some(entry) = read_entry(message) {
                    each(entry);
                }
                ControlFlow::Continue(())
            },
        )?;
        Ok(match dumped {
            Dumped::Whole => Walk::Whole,
            Dumped::Torn | Dumped::Left => Walk::Torn,
        })
    }

    /// Lists entries; again from the beginning, as long as a walk is torn. [`KernelError::Unsettled`] when that
    /// does not end.
    pub fn list(&self, which: Which) -> Result<Vec<Entry>, KernelError> {
        self.channel.list(GET, |w| write_filter(w, which), read_entry)
    }
}

/// A socket that may change entries of the namespace in which it was opened.
pub struct ConntrackWriter {
    channel: Channel,
}

impl ConntrackWriter {
    /// Opens a socket where the guard looked.
    pub fn open<Where>(guard: Guard<Where>) -> Result<ConntrackWriter, KernelError> {
        if !guard.holds() {
            return Err(KernelError::Moved);
        }
        Ok(ConntrackWriter { channel: Channel::open(NETFILTER, WHAT)? })
    }

    /// Deletes this entry, and no newer one that has taken its place (but see [`Entry::id`]). The connection is
    /// not ended by it: its next packet is judged as the first of a new one.
    pub fn delete(&self, entry: &Entry) -> Result<Change, KernelError> {
        self.change(DELETE, entry, |w| w.be32(cta::ID, entry.id))
    }

    /// Sets the bits of the mask to those of the value, and leaves the others as they are at that moment. The
    /// kernel does not look at [`Entry::id`] here: an entry with the same tuple that has taken its place is marked.
    pub fn set_mark(&self, entry: &Entry, value: u32, mask: u32) -> Result<Change, KernelError> {
        self.change(NEW, entry, |w| {
            // The kernel clears the bits of the mask and then flips those of the value, wherever they are.
            w.be32(cta::MARK, value & mask);
            w.be32(cta::MARK_MASK, mask);
        })
    }

    fn change(
        &self,
        kind: u16,
        entry: &Entry,
        more: impl FnOnce(&mut Writer),
    ) -> Result<Change, KernelError> {
        let body = |w: &mut Writer| {
            // Never without the tuple: a deletion that names none empties the whole table.
            write_key(w, cta::TUPLE_ORIG, &entry.original, entry.zone);
            more(w);
        };
        match self.channel.request(kind, 0, body, |_| {}) {
            Ok(()) => Ok(Change::Made),
            Err(KernelError::Refused { errno: Errno::NOENT, .. }) => Ok(Change::Gone),
            Err(error) => Err(error),
        }
    }
}

/// What names an entry. A zone that holds for the other direction only is not where this tuple is looked up.
fn write_key(w: &mut Writer, kind: u16, tuple: &Tuple, zone: Option<Zone>) {
    w.raw(&[tuple.family(), 0, 0, 0]);
    let inside = zone.filter(|zone| match zone.dir {
        ZoneDir::Both => false,
        ZoneDir::Original => kind == cta::TUPLE_ORIG,
        ZoneDir::Reply => kind == cta::TUPLE_REPLY,
    });
    write_tuple(w, kind, tuple, inside.map(|zone| zone.id));
    if let Some(Zone { id, dir: ZoneDir::Both }) = zone {
        w.be16(cta::ZONE, id);
    }
}

fn write_filter(w: &mut Writer, which: Which) {
    w.raw(&[0; 4]);
    if let Which::Marked { value, mask } = which {
        w.be32(cta::MARK, value & mask);
        w.be32(cta::MARK_MASK, mask);
    }
}
