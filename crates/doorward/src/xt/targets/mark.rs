//! Targets that change marks, which later rules test.

use super::Target;
use crate::xt::Shape;
use crate::xt::info::Info;

/// `MARK`, revision 2 (`struct xt_mark_tginfo2`, `net/netfilter/xt_mark.c`).
pub(super) fn mark(info: &mut Info, shape: Shape) -> Option<Target> {
    if shape.revision != 2 {
        return None;
    }
    let (value, mask) = (info.u32()?, info.u32()?);
    Some(Target::Mark { value, mask })
}

/// `CONNMARK`, revisions 1 and 2 (`struct xt_connmark_tginfo2`, `net/netfilter/xt_connmark.c`); without connection
/// nothing changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConnmarkSet {
    /// The connection's mark becomes `((mark & !mask) ^ value)`, shifted.
    Set {
        /// Bits to flip then.
        value: u32,
        /// Bits to clear first.
        mask: u32,
        /// At last.
        shift: Shift,
    },
    /// The connection's mark becomes `(mark & !connection_mask) ^ shifted(packet's mark & packet_mask)`.
    Save {
        /// Bits of the connection's mark to clear first.
        connection_mask: u32,
        /// Bits of the packet's mark to take.
        packet_mask: u32,
        /// What is taken.
        shift: Shift,
    },
    /// The packet's mark becomes `(mark & !packet_mask) ^ shifted(connection's mark & connection_mask)`.
    Restore {
        /// Bits of the connection's mark to take.
        connection_mask: u32,
        /// Bits of the packet's mark to clear first.
        packet_mask: u32,
        /// What is taken.
        shift: Shift,
    },
}

/// By how many bits, less than 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shift {
    /// Towards the upper bits.
    Left(u8),
    /// Towards the lower bits.
    Right(u8),
}

impl Shift {
    fn of(self, bits: u32) -> u32 {
        match self {
            Shift::Left(by) => bits.checked_shl(by.into()),
            Shift::Right(by) => bits.checked_shr(by.into()),
        }
        .unwrap_or(0)
    }
}

impl ConnmarkSet {
    /// What becomes of the marks of packet and connection.
    #[must_use]
    pub fn marked(&self, packet: u32, connection: Option<u32>) -> (u32, Option<u32>) {
        let Some(of) = connection else { return (packet, None) };
        match *self {
            ConnmarkSet::Set { value, mask, shift } => (packet, Some(shift.of(of & !mask ^ value))),
            ConnmarkSet::Save { connection_mask, packet_mask, shift } => {
                (packet, Some(of & !connection_mask ^ shift.of(packet & packet_mask)))
            }
            ConnmarkSet::Restore { connection_mask, packet_mask, shift } => {
                (packet & !packet_mask ^ shift.of(of & connection_mask), connection)
            }
        }
    }
}

pub(super) fn connmark(info: &mut Info, shape: Shape) -> Option<Target> {
    let (value, connection_mask, packet_mask) = (info.u32()?, info.u32()?, info.u32()?);
    let shift = match shape.revision {
        1 => Shift::Left(0),
        2 => {
            let (direction, bits) = (info.u8()?, info.u8().filter(|bits| *bits < 32)?);
            match direction {
                0 => Shift::Left(bits),
                1 => Shift::Right(bits),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(Target::Connmark(match info.u8()? {
        0 => ConnmarkSet::Set { value, mask: connection_mask, shift },
        1 => ConnmarkSet::Save { connection_mask, packet_mask, shift },
        2 => ConnmarkSet::Restore { connection_mask, packet_mask, shift },
        _ => return None,
    }))
}

/// `HMARK`, revision 0 (`struct xt_hmark_info`, `net/netfilter/xt_HMARK.c`); what is hashed, and how, stays with
/// the kernel.
pub(super) fn hmark(info: &mut Info) -> Option<Target> {
    // Masks of addresses and ports.
    info.take(2 * 16 + 2 * 4)?;
    info.u32()?;
    info.u16()?;
    info.u32()?;
    let (modulus, first) = (info.u32()?, info.u32()?);
    Some(Target::Hmark { first, modulus })
}
