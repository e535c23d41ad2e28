//! Matches on the header of IP and on bytes anywhere: they say of each packet, fragments too, by its bytes alone.

use super::Match;
use crate::xt::Shape;
use crate::xt::info::{Info, Union};
use crate::xt::part::{AddrWithin, Is, Masked, Within};

/// `iprange`, revision 1 (`struct xt_iprange_mtinfo`, `net/netfilter/xt_iprange.c`): both conditions must hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Iprange {
    /// The source address.
    pub source: Option<AddrWithin>,
    /// The destination address.
    pub dest: Option<AddrWithin>,
}

pub(super) fn iprange(info: &mut Info, shape: Shape) -> Option<Match> {
    if shape.revision != 1 {
        return None;
    }
    let [s, t, d, e] = [info.union()?, info.union()?, info.union()?, info.union()?];
    let flags = info.flags8(0x33)?;
    let asked = |given: u8, invert: u8, first: Union, last: Union| {
        Some(if flags & given == 0 {
            None
        } else {
            let (first, last) = (first.addr(shape.family)?, last.addr(shape.family)?);
            Some(AddrWithin { first, last, invert: flags & invert != 0 })
        })
    };
    Some(Match::Iprange(Iprange { source: asked(1, 0x10, s, t)?, dest: asked(2, 0x20, d, e)? }))
}

/// `length`, revision 0 (`struct xt_length_info`, `net/netfilter/xt_length.c`): of the whole packet with the
/// header of IP, what IPv4 calls total length; more than 65,535 where segments were put together.
pub(super) fn length(info: &mut Info) -> Option<Match> {
    let (first, last) = (info.u16()?.into(), info.u16()?.into());
    Some(Match::Length(Within { first, last, invert: info.flag()? }))
}

/// `ttl` of IPv4 and `hl` of IPv6, revision 0 (`net/netfilter/xt_hl.c`): the hop limit as it is in this hook.
pub(super) fn hops(info: &mut Info) -> Option<Match> {
    let mode = info.u8()?;
    let value = info.u8()?;
    Some(Match::Hops(match mode {
        0 => Within { first: value, last: value, invert: false },
        1 => Within { first: value, last: value, invert: true },
        // Less than 0 and greater than 255 never hold: the contrary of everything.
        2 => match value.checked_sub(1) {
            Some(last) => Within { first: 0, last, invert: false },
            None => Within { first: 0, last: u8::MAX, invert: true },
        },
        3 => match value.checked_add(1) {
            Some(first) => Within { first, last: u8::MAX, invert: false },
            None => Within { first: 0, last: u8::MAX, invert: true },
        },
        _ => return None,
    }))
}

/// `dscp`, revision 0 (`struct xt_dscp_info`, `net/netfilter/xt_dscp.c`): the upper six bits of the TOS byte.
pub(super) fn dscp(info: &mut Info) -> Option<Match> {
    let value = info.u8()?;
    // The kernel takes any other byte than 0 for the contrary here.
    Some(Match::Dscp(Is { value, invert: info.u8()? != 0 }))
}

/// `tos`, revision 1 (`struct xt_tos_match_info`, `net/netfilter/xt_dscp.c`): the TOS byte of IPv4, the traffic
/// class of IPv6.
pub(super) fn tos(info: &mut Info, shape: Shape) -> Option<Match> {
    if shape.revision != 1 {
        return None;
    }
    let (mask, value) = (info.u8()?, info.u8()?);
    Some(Match::Tos(Masked { value, mask, invert: info.u8()? != 0 }))
}

/// `ecn`, revision 0 (`struct xt_ecn_info`, `net/netfilter/xt_ecn.c`): all that is asked for must hold.
///
/// The bits of TCP are read without asking whether the packet is a later fragment; where the header of 20 bytes
/// is not all there, the match is false.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ecn {
    /// The lower two bits of the TOS byte.
    pub ip: Option<Is<u8>>,
    /// What the bit ECE of TCP (64 in byte 13) must be.
    pub ece: Option<bool>,
    /// What the bit CWR of TCP (128 in byte 13) must be.
    pub cwr: Option<bool>,
}

pub(super) fn ecn(info: &mut Info) -> Option<Match> {
    let asked = info.flags8(0x31)?;
    let invert = info.flags8(0x31)?;
    let value = info.u8()?;
    info.u8()?;
    Some(Match::Ecn(Ecn {
        ip: (asked & 1 != 0).then_some(Is { value, invert: invert & 1 != 0 }),
        ece: (asked & 0x10 != 0).then_some(invert & 0x10 == 0),
        cwr: (asked & 0x20 != 0).then_some(invert & 0x20 == 0),
    }))
}

/// `u32`, revision 0 (`struct xt_u32`, `net/netfilter/xt_u32.c`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct U32 {
    /// All must hold.
    pub tests: Vec<U32Test>,
    /// The contrary of all together.
    pub invert: bool,
}

/// A number of the packet that must be within one of some ranges.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct U32Test {
    /// Where the first number of four bytes stands, from the header of IP on.
    pub start: u32,
    /// What is done to it, in this order.
    pub steps: Vec<U32Step>,
    /// First and last of each range.
    pub ranges: Vec<(u32, u32)>,
}

/// What is done to a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum U32Step {
    /// Keeps these bits.
    And(u32),
    /// To the left by less than 32.
    Left(u32),
    /// To the right by less than 32.
    Right(u32),
    /// Moves the start by the number, and reads the four bytes that are so far from there.
    At(u32),
}

impl U32 {
    /// Whether the match holds for a packet, given from the header of IP on. A number that is not there makes
    /// the test fail, so that the match holds if inverted.
    #[must_use]
    pub fn holds(&self, packet: &[u8]) -> bool {
        self.tests.iter().all(|test| test.holds(packet)) != self.invert
    }
}

impl U32Test {
    fn holds(&self, packet: &[u8]) -> bool {
        self.number(packet)
            .is_some_and(|number| self.ranges.iter().any(|(first, last)| *first <= number && number <= *last))
    }

    fn number(&self, packet: &[u8]) -> Option<u32> {
        let read = |start: u32, at: u32| {
            let place = usize::try_from(start.checked_add(at)?).ok()?;
            let bytes = packet.get(place..place.checked_add(4)?)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        let mut start = 0u32;
        let mut number = read(start, self.start)?;
        for step in &self.steps {
            number = match *step {
                U32Step::And(mask) => number & mask,
                U32Step::Left(bits) => number.checked_shl(bits)?,
                U32Step::Right(bits) => number.checked_shr(bits)?,
                U32Step::At(place) => {
                    start = start.checked_add(number)?;
                    read(start, place)?
                }
            };
        }
        Some(number)
    }
}

pub(super) fn u32(info: &mut Info) -> Option<Match> {
    const ROOM: usize = 11;
    let mut tests = Vec::new();
    for _ in 0..ROOM {
        tests.push(u32_test::<ROOM>(info)?);
    }
    let count = usize::from(info.u8()?);
    let invert = info.flag()?;
    info.align(4)?;
    if count > ROOM {
        return None;
    }
    tests.truncate(count);
    // What stands behind the last test has never been checked by the kernel.
    let tests = tests.into_iter().collect::<Option<Vec<U32Test>>>()?;
    Some(Match::U32(U32 { tests, invert }))
}

/// The outer says that the bytes end, the inner that they make no test.
#[expect(clippy::option_option, reason = "the outer says cut off, the inner invalid")]
fn u32_test<const ROOM: usize>(info: &mut Info) -> Option<Option<U32Test>> {
    let mut places = [(0, 0); ROOM];
    for place in &mut places {
        *place = (info.u32()?, info.u8()?);
        info.align(4)?;
    }
    let mut ranges = [(0, 0); ROOM];
    for range in &mut ranges {
        *range = (info.u32()?, info.u32()?);
    }
    let (places_count, ranges_count) = (usize::from(info.u8()?), usize::from(info.u8()?));
    info.align(4)?;
    let step = |(number, operator): &(u32, u8)| {
        Some(match operator {
            0 => U32Step::And(*number),
            1 if *number < 32 => U32Step::Left(*number),
            2 if *number < 32 => U32Step::Right(*number),
            3 => U32Step::At(*number),
            _ => return None,
        })
    };
    let test = || {
        Some(U32Test {
            start: places[0].0,
            steps: places.get(1..places_count.max(1))?.iter().map(step).collect::<Option<_>>()?,
            ranges: ranges.get(..ranges_count)?.to_vec(),
        })
    };
    Some(test())
}

/// `string`, revision 1 (`struct xt_string_info`, `net/netfilter/xt_string.c`).
///
/// Holds if the packet has the text at some place. How exactly the last place is bounded by `to` differs between
/// kernels and algorithms, so that only this is sure: without the text anywhere, the text is not found.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Text {
    /// First place, from the header of IP on.
    pub from: u16,
    /// Where the search ends.
    pub to: u16,
    /// `bm`, `kmp` or another one.
    pub algorithm: String,
    /// The bytes.
    pub text: Vec<u8>,
    /// Without regard to upper and lower case.
    pub ignore_case: bool,
    /// Holds if it is not found.
    pub invert: bool,
}

pub(super) fn text(info: &mut Info, shape: Shape) -> Option<Match> {
    if shape.revision != 1 {
        return None;
    }
    let (from, to) = (info.u16()?, info.u16()?);
    let algorithm = info.name(16)?;
    let pattern = info.array::<128>()?;
    let len = usize::from(info.u8()?);
    let flags = info.flags8(3)?;
    let text = pattern.get(..len)?.to_vec();
    Some(Match::Text(Text { from, to, algorithm, text, ignore_case: flags & 2 != 0, invert: flags & 1 != 0 }))
}

/// `bpf`, revisions 0 and 1 (`net/netfilter/xt_bpf.c`): holds if the program returns anything but 0.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Bpf {
    /// A classic program, which reads the packet from the header of IP on and the kernel's extensions.
    Program(Vec<BpfStep>),
    /// A program that some process pinned under this path.
    Pinned(String),
    /// A program that some process had open under this number.
    Open(i32),
}

/// `struct sock_filter`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BpfStep {
    /// Instruction.
    pub code: u16,
    /// Steps over so many if true.
    pub jt: u8,
    /// Steps over so many if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

pub(super) fn bpf(info: &mut Info, shape: Shape) -> Option<Match> {
    const ROOM: usize = 64;
    const BYTECODE: u16 = 0;
    const PINNED: u16 = 1;
    const OPEN: u16 = 2;
    let mode = match shape.revision {
        0 => BYTECODE,
        1 => info.u16()?,
        _ => return None,
    };
    let count = usize::from(info.u16()?);
    let open = if shape.revision == 1 { info.u32()?.cast_signed() } else { 0 };
    info.align(4)?;
    let union = info.take(ROOM * 8)?;
    Some(Match::Bpf(match mode {
        BYTECODE => {
            let mut steps = Info::new(union.get(..count.checked_mul(8)?)?);
            let mut step =
                || Some(BpfStep { code: steps.u16()?, jt: steps.u8()?, jf: steps.u8()?, k: steps.u32()? });
            Bpf::Program((0..count).map(|_| step()).collect::<Option<_>>()?)
        }
        PINNED => Bpf::Pinned(Info::new(union).name(ROOM * 8)?),
        OPEN => Bpf::Open(open),
        _ => return None,
    }))
}
