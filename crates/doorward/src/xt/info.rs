//! The fields of a binary structure, one after the other; knows no structure, and never reads past the end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Family;

/// A structure that is read from its start on. Every reading is none where the bytes end.
pub(super) struct Info<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// `union nf_inet_addr`: which address it is, only the family tells.
#[derive(Clone, Copy)]
pub(super) struct Union([u8; 16]);

impl Union {
    pub(super) fn addr(self, family: Option<Family>) -> Option<IpAddr> {
        let [a, b, c, d, ..] = self.0;
        Some(match family? {
            Family::V4 => Ipv4Addr::new(a, b, c, d).into(),
            Family::V6 => Ipv6Addr::from(self.0).into(),
        })
    }
}

impl<'a> Info<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Info<'a> {
        Info { bytes, at: 0 }
    }

    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Leaves out what fills up to a multiple of `to`, as compilers do before a field of that size.
    pub(super) fn align(&mut self, to: usize) -> Option<()> {
        let aligned = self.at.checked_next_multiple_of(to)?;
        self.take(aligned - self.at).map(|_| ())
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_ne_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.align(2)?;
        self.array().map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        self.array().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.align(8)?;
        self.array().map(u64::from_ne_bytes)
    }

    pub(super) fn be16(&mut self) -> Option<u16> {
        self.u16().map(u16::from_be)
    }

    pub(super) fn be32(&mut self) -> Option<u32> {
        self.u32().map(u32::from_be)
    }

    /// A byte that is xored with a result: with any other value than these two, the result would always hold.
    pub(super) fn flag(&mut self) -> Option<bool> {
        truth(self.u8()?.into())
    }

    /// The same in an `int`.
    pub(super) fn wide_flag(&mut self) -> Option<bool> {
        truth(self.u32()?)
    }

    /// Flags of which no other than these may be set.
    pub(super) fn flags8(&mut self, known: u8) -> Option<u8> {
        self.u8().filter(|flags| flags & !known == 0)
    }

    /// The same in 16 bits.
    pub(super) fn flags16(&mut self, known: u16) -> Option<u16> {
        self.u16().filter(|flags| flags & !known == 0)
    }

    /// The same in 32 bits.
    pub(super) fn flags32(&mut self, known: u32) -> Option<u32> {
        self.u32().filter(|flags| flags & !known == 0)
    }

    pub(super) fn union(&mut self) -> Option<Union> {
        self.align(4)?;
        self.array().map(Union)
    }

    /// `struct in_addr`.
    pub(super) fn v4(&mut self) -> Option<IpAddr> {
        self.align(4)?;
        self.array::<4>().map(|bytes| Ipv4Addr::from(bytes).into())
    }

    /// A name that the kernel compares, up to its zero.
    pub(super) fn name(&mut self, room: usize) -> Option<String> {
        let bytes = until_zero(self.take(room)?);
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// A text for people, up to its zero.
    pub(super) fn text(&mut self, room: usize) -> Option<String> {
        self.take(room).map(|bytes| String::from_utf8_lossy(until_zero(bytes)).into_owned())
    }

    /// Whether nothing follows but what fills up to the eight bytes to which the kernel aligns.
    pub(super) fn end(self) -> Option<()> {
        (self.bytes.len() == self.at.next_multiple_of(8)).then_some(())
    }

    /// Whether a pointer of the kernel's own follows and nothing else; of 4 or 8 bytes, at a multiple of 8.
    pub(super) fn end_with_pointer(mut self) -> Option<()> {
        self.align(8)?;
        self.take(4)?;
        self.end()
    }
}

fn truth(number: u32) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
