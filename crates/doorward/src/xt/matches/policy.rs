//! The match on `IPsec`: which transformations a packet went through, or is to go through; knows none of them.

use super::Match;
use super::host::Side;
use crate::xt::Shape;
use crate::xt::info::{Info, Union};
use crate::xt::part::{AddrMasked, Is};

/// `policy`, revision 0 (`struct xt_policy_info`, `net/netfilter/xt_policy.c`).
///
/// A packet has transformations behind it (the latest first) or before it. With `none` the match holds for
/// packets without any. Else one of them must be like the first element, or with `strict` each like the element at
/// its place, and not more nor fewer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Policy {
    /// Behind it, or before it.
    pub side: Side,
    /// There must be none.
    pub none: bool,
    /// All of them are looked at.
    pub strict: bool,
    /// What they are like.
    pub elements: Vec<PolicyElement>,
}

/// What a transformation is like: all that is asked for must hold.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PolicyElement {
    /// Source address of the tunnel.
    pub source: Option<AddrMasked>,
    /// Destination address of the tunnel.
    pub dest: Option<AddrMasked>,
    /// ESP 50, AH 51, `IPComp` 108.
    pub proto: Option<Is<u8>>,
    /// A tunnel, instead of transport mode.
    pub tunnel: Option<bool>,
    /// The SPI. What iptables writes here is the number in the byte order of the host, and what the kernel compares
    /// is that of the packet: `--spi 7` asks for 0x07000000 on most hosts, and so it is read.
    pub spi: Option<Is<u32>>,
    /// The number of the request.
    pub request: Option<Is<u32>>,
}

/// `struct xt_policy_spec` consists of bit fields, which compilers count from the end that the host counts from.
struct Spec(u8);

impl Spec {
    const SOURCE: u32 = 0;
    const DEST: u32 = 1;
    const PROTO: u32 = 2;
    const MODE: u32 = 3;
    const SPI: u32 = 4;
    const REQUEST: u32 = 5;

    fn has(&self, bit: u32) -> bool {
        let bit = if cfg!(target_endian = "big") { 7 - bit } else { bit };
        self.0 >> bit & 1 != 0
    }
}

pub(super) fn policy(info: &mut Info, shape: Shape) -> Option<Match> {
    const ROOM: usize = 4;
    let mut elements = Vec::new();
    for _ in 0..ROOM {
        elements.push(element(info, shape)?);
    }
    let flags = info.flags16(0x0f)?;
    let count = usize::from(info.u16()?);
    let side = match flags & 3 {
        1 => Side::In,
        2 => Side::Out,
        _ => return None,
    };
    if count > ROOM {
        return None;
    }
    elements.truncate(count);
    let elements = elements.into_iter().collect::<Option<_>>()?;
    Some(Match::Policy(Policy { side, none: flags & 4 != 0, strict: flags & 8 != 0, elements }))
}

#[expect(clippy::option_option, reason = "the outer says cut off, the inner invalid")]
fn element(info: &mut Info, shape: Shape) -> Option<Option<PolicyElement>> {
    const TRANSPORT: u8 = 0;
    const TUNNEL: u8 = 1;
    let [source, source_mask, dest, dest_mask] = [info.union()?, info.union()?, info.union()?, info.union()?];
    let (spi, request) = (info.be32()?, info.u32()?);
    let (proto, mode) = (info.u8()?, info.u8()?);
    let (given, invert) = (Spec(info.u8()?), Spec(info.u8()?));
    let addr = |bit, addr: Union, mask: Union| {
        Some(if given.has(bit) {
            Some(AddrMasked {
                addr: addr.addr(shape.family)?,
                mask: mask.addr(shape.family)?,
                invert: invert.has(bit),
            })
        } else {
            None
        })
    };
    let number = |bit, value: u32| given.has(bit).then(|| Is { value, invert: invert.has(bit) });
    let read = || {
        Some(PolicyElement {
            source: addr(Spec::SOURCE, source, source_mask)?,
            dest: addr(Spec::DEST, dest, dest_mask)?,
            proto: given.has(Spec::PROTO).then(|| Is { value: proto, invert: invert.has(Spec::PROTO) }),
            tunnel: match (given.has(Spec::MODE), mode) {
                (false, _) => None,
                // There are more modes than these two, which iptables cannot name.
                (true, TUNNEL) if !invert.has(Spec::MODE) => Some(true),
                (true, TRANSPORT) if !invert.has(Spec::MODE) => Some(false),
                _ => return None,
            },
            spi: number(Spec::SPI, spi),
            request: number(Spec::REQUEST, request),
        })
    };
    Some(read())
}
