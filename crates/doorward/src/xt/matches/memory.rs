//! Matches on what was before: rates, lists, chance, the clock; of one packet alone none of them can be told.

use std::net::IpAddr;

use super::Match;
use super::host::Side;
use crate::xt::Shape;
use crate::xt::info::Info;
use crate::xt::part::{Is, Within};

/// `limit`, revision 0 (`struct xt_rateinfo`, `net/netfilter/xt_limit.c`): holds while the rule is under the rate.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limit {
    /// Time between two packets in 1/10,000 seconds.
    pub gap: u32,
    /// So many at once.
    pub burst: u32,
}

pub(super) fn limit(info: &mut Info) -> Option<Match> {
    let (gap, burst) = (info.u32()?, info.u32()?);
    Some(Match::Limit(Limit { gap, burst }))
}

/// `hashlimit`, revisions 1 to 3 (`struct xt_hashlimit_mtinfo3`, `net/netfilter/xt_hashlimit.c`): holds while
/// packets that are alike are under the rate. Drops the packet where the table has no room, or where ports count and
/// the packet is too short for them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Hashlimit {
    /// Name of the table.
    pub name: String,
    /// What makes packets alike, and how to count: destination address 1 and port 2, source address 4 and port 8,
    /// bytes instead of packets 32, a rate over an interval 64.
    pub mode: u32,
    /// Time between two packets in 1/10,000 (revision 1) or 1/1,000,000 seconds, or the like for bytes.
    pub gap: u64,
    /// So much at once.
    pub burst: u64,
    /// Bits of the source address that count.
    pub source_len: u8,
    /// Bits of the destination address that count.
    pub dest_len: u8,
    /// Holds while they are over the rate.
    pub invert: bool,
}

impl Hashlimit {
    /// The bits of [`Hashlimit::mode`] that make ports count.
    pub const PORTS: u32 = 2 | 8;
}

pub(super) fn hashlimit(info: &mut Info, shape: Shape) -> Option<Match> {
    const INVERT: u32 = 16;
    const ALL: u32 = 0x7f;
    const NAME_MAX: usize = 255;
    let name = info.name(if shape.revision == 1 { 16 } else { NAME_MAX })?;
    let (mode, gap, burst) = match shape.revision {
        1 => (info.flags32(ALL)?, info.u32()?.into(), info.u32()?.into()),
        2 | 3 => {
            let (gap, burst) = (info.u64()?, info.u64()?);
            (info.flags32(ALL)?, gap, burst)
        }
        _ => return None,
    };
    // Sizes and times of the table; in revision 3 an interval.
    info.take(if shape.revision == 3 { 20 } else { 16 })?;
    let (source_len, dest_len) = (info.u8()?, info.u8()?);
    let invert = mode & INVERT != 0;
    Some(Match::Hashlimit(Hashlimit { name, mode: mode & !INVERT, gap, burst, source_len, dest_len, invert }))
}

/// `recent`, revisions 0 and 1 (`struct xt_recent_mtinfo_v1`, `recent_mt` of `net/netfilter/xt_recent.c`).
///
/// A list of addresses with the times when they were seen. An address is known if it is listed, and with `ttl` has
/// the hop limit that it had then. Drops the packet where the kernel has no memory for another address to add.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Recent {
    /// Name of the list, shared by all rules of this family that name it.
    pub list: String,
    /// What is done.
    pub op: RecentOp,
    /// Only times of the last so many seconds count; 0 for all.
    pub seconds: u32,
    /// So many times must count; 0 for one.
    pub hits: u32,
    /// The hop limit counts too.
    pub ttl: bool,
    /// Forgets older times.
    pub reap: bool,
    /// Whose address.
    pub side: Side,
    /// The bits of the address that count.
    pub mask: Option<IpAddr>,
    /// The contrary; the list changes as without.
    pub invert: bool,
}

/// What `recent` does with its list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RecentOp {
    /// Adds the address or the time; always holds.
    Set,
    /// Holds if the address is known and enough of its times count.
    Check,
    /// Like `Check`; then, if the match as a whole holds, adds the time.
    Update,
    /// Takes the address off; holds if it was known.
    Remove,
}

pub(super) fn recent(info: &mut Info, shape: Shape) -> Option<Match> {
    let (seconds, hits) = (info.u32()?, info.u32()?);
    let flags = info.flags8(0x3f)?;
    let invert = info.flag()?;
    let list = info.name(200)?;
    let side = match info.u8()? {
        0 => Side::In,
        1 => Side::Out,
        _ => return None,
    };
    let mask = match shape.revision {
        // Without a mask the whole address counts.
        0 => {
            info.align(4)?;
            None
        }
        1 => Some(info.union()?.addr(shape.family)?),
        _ => return None,
    };
    let op = match flags & 0x0f {
        1 => RecentOp::Check,
        2 => RecentOp::Set,
        4 => RecentOp::Update,
        8 => RecentOp::Remove,
        _ => return None,
    };
    let (ttl, reap) = (flags & 0x10 != 0, flags & 0x20 != 0);
    Some(Match::Recent(Recent { list, op, seconds, hits, ttl, reap, side, mask, invert }))
}

/// `statistic`, revision 0 (`struct xt_statistic_info`, `net/netfilter/xt_statistic.c`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Statistic {
    /// Holds by chance, in so many of 2³¹ cases.
    Random(Is<u32>),
    /// Holds for every n-th packet (the number here is n - 1).
    Nth(Is<u32>),
}

pub(super) fn statistic(info: &mut Info) -> Option<Match> {
    let mode = info.u16()?;
    let invert = info.flags16(1)? != 0;
    let value = info.u32()?;
    info.take(8)?;
    Some(Match::Statistic(match mode {
        0 => Statistic::Random(Is { value, invert }),
        1 => Statistic::Nth(Is { value, invert }),
        _ => return None,
    }))
}

/// `quota`, revision 0 (`struct xt_quota_info`, `net/netfilter/xt_quota.c`): holds until so many bytes have passed
/// the rule, or with `invert` from then on.
pub(super) fn quota(info: &mut Info) -> Option<Match> {
    let invert = info.flags32(1)? != 0;
    info.u32()?;
    Some(Match::Quota(Is { value: info.u64()?, invert }))
}

/// `nfacct`, revisions 0 and 1 (`net/netfilter/xt_nfacct.c`): counts for the object of this name; holds unless it
/// has a quota that is not used up.
pub(super) fn nfacct(info: &mut Info, shape: Shape) -> Option<Match> {
    (shape.revision <= 1).then(|| info.name(32))?.map(Match::Nfacct)
}

/// `time`, revision 0 (`struct xt_time_info`, `net/netfilter/xt_time.c`): all conditions must hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Time {
    /// Seconds since 1970.
    pub date: Within<u32>,
    /// Seconds of the day; the other way round across midnight.
    pub daytime: (u32, u32),
    /// Bit n stands for day n of the month, from 1.
    pub monthdays: u32,
    /// Bit n stands for day n of the week, from Monday 1.
    pub weekdays: u8,
    /// In the time zone of the kernel instead of UTC.
    pub local: bool,
    /// A time across midnight belongs to the day on which it begins.
    pub contiguous: bool,
}

pub(super) fn time(info: &mut Info) -> Option<Match> {
    let (first, last) = (info.u32()?, info.u32()?);
    let daytime = (info.u32()?, info.u32()?);
    let monthdays = info.u32()?;
    let weekdays = info.u8()?;
    let flags = info.flags8(3)?;
    Some(Match::Time(Time {
        date: Within { first, last, invert: false },
        daytime,
        monthdays,
        weekdays,
        local: flags & 1 != 0,
        contiguous: flags & 2 != 0,
    }))
}

/// `set`, revisions 1 to 4 (`struct xt_set_info_match_v4`, `net/netfilter/xt_set.c`): holds if the set of `ipset`
/// has an element for the packet. The rule knows the number of the set only, and nothing of what is in it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Set {
    /// The kernel's number of the set.
    pub index: u16,
    /// Which end of the packet each part of the key is taken from: [`Side::In`] for the source.
    pub parts: Vec<Side>,
    /// An element that is marked as an exception is not found.
    pub exceptions: bool,
    /// The counters of the element must be so too.
    pub counters: bool,
    /// The contrary.
    pub invert: bool,
}

/// `IPSET_RETURN_NOMATCH`, the same bit in both places where it can stand.
const EXCEPTIONS: u8 = 1 << 7;

/// `struct xt_set_info`: number of the set, dimensions, and the flags by dimension, of which the first inverts.
pub(in crate::xt) fn set_info(info: &mut Info) -> Option<Set> {
    const DIMENSIONS: u8 = 6;
    let index = info.u16()?;
    let dimensions = info.u8().filter(|count| *count <= DIMENSIONS)?;
    let flags = info.u8()?;
    let side = |dimension| if flags >> dimension & 1 != 0 { Side::In } else { Side::Out };
    Some(Set {
        index,
        parts: (1..=dimensions).map(side).collect(),
        exceptions: flags & EXCEPTIONS != 0,
        counters: false,
        invert: flags & 1 != 0,
    })
}

pub(super) fn set(info: &mut Info, shape: Shape) -> Option<Match> {
    let mut set = set_info(info)?;
    match shape.revision {
        1 | 2 => {}
        3 | 4 => {
            info.align(8)?;
            // Number and operator of packets and of bytes; in revision 3 the operator comes first.
            let mut operator = || {
                let words: [u8; 16] = info.array()?;
                Some(words[if shape.revision == 3 { 0 } else { 8 }])
            };
            set.counters = [operator()?, operator()?] != [0, 0];
            set.exceptions = info.u32()? & u32::from(EXCEPTIONS) != 0;
        }
        _ => return None,
    }
    Some(Match::Set(set))
}
