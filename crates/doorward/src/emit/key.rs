//! Types of keys and values of sets, from nft's numbers and `typeof` data; knows no element.

use super::headers::{Header, IPV4_OPTIONS, IPV6_EXTENSIONS, SCTP_CHUNKS, TCP_OPTIONS};
use super::sym::{self, Exthdr, Kind, Sym};
use super::types::{Order, Ty};
use crate::ruleset::{CtDir, DataType, Set, Udata, exthdr};

/// How the key (or the value) of a set is typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Key {
    /// Its parts; one, unless it is a concatenation.
    pub(super) parts: Vec<Part>,
    /// The text behind `typeof`, if the set was made so.
    pub(super) typeof_text: Option<String>,
    pub(super) concat: bool,
}

/// One value of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub(super) ty: Ty,
    pub(super) order: Order,
    pub(super) bits: u32,
}

impl Key {
    /// The text behind `type`.
    pub(super) fn type_text(&self) -> String {
        let names: Vec<&str> = self.parts.iter().map(|part| part.ty.name()).collect();
        names.join(" . ")
    }

    /// Whether a set can be declared with `type`: an integer has no width of its own.
    pub(super) fn has_type_text(&self) -> bool {
        self.parts.iter().all(|part| part.ty.bits() > 0 || matches!(part.ty, Ty::Verdict | Ty::Text))
    }
}

const KEY_BYTEORDER: u8 = 0;
const DATA_BYTEORDER: u8 = 1;
const AUTO_MERGE: u8 = 2;
const KEY_TYPEOF: u8 = 3;
const DATA_TYPEOF: u8 = 4;
const DATA_INTERVAL: u8 = 6;

/// How the key of a set, and the value of a map, are typed. None for types that nft does not have.
pub(super) fn of(set: &Set) -> Option<(Key, Option<Key>)> {
    let entry = |kind: u8| entry(&set.udata, kind);
    let order = |kind: u8| Order::from_number(u32_of(entry(kind)).unwrap_or(0));
    let mut by_typeof = true;
    let data = match set.data {
        None => None,
        Some(kind) => {
            let (number, bits) = match kind {
                DataType::Verdict => (1, 128),
                DataType::Value { kind, len } => (kind, len.saturating_mul(8)),
            };
            let written = entry(DATA_TYPEOF).and_then(typeof_sym).filter(|sym| fits(sym, bits));
            by_typeof = written.is_some();
            Some(match written {
                Some(sym) => typed_by(&sym),
                None => numbered(number, bits, order(DATA_BYTEORDER))?,
            })
        }
    };
    let bits = set.key_len.saturating_mul(8);
    let written = entry(KEY_TYPEOF).and_then(typeof_sym).filter(|sym| by_typeof && fits(sym, bits));
    let key = match written {
        Some(sym) => typed_by(&sym),
        None => numbered(set.key_type, bits, order(KEY_BYTEORDER))?,
    };
    Some((key, data))
}

/// Whether nft merges adjacent elements of the set.
pub(super) fn auto_merge(set: &Set) -> bool {
    u32_of(entry(&set.udata, AUTO_MERGE)).is_some_and(|n| n != 0)
}

/// Whether the values of the map are intervals.
pub(super) fn data_is_interval(set: &Set) -> bool {
    u32_of(entry(&set.udata, DATA_INTERVAL)).is_some_and(|n| n != 0)
}

fn entry(udata: &Udata, kind: u8) -> Option<&[u8]> {
    udata.entries().find(|(k, _)| *k == kind).map(|(_, value)| value)
}

fn u32_of(bytes: Option<&[u8]>) -> Option<u32> {
    bytes?.try_into().ok().map(u32::from_le_bytes)
}

fn fits(sym: &Sym, bits: u32) -> bool {
    sym.bits.div_ceil(8) == bits / 8
}

fn typed_by(sym: &Sym) -> Key {
    let part = |sym: &Sym| Part { ty: sym.ty, order: sym.order, bits: sym.bits };
    let text = written(sym);
    let (parts, concat) = match &sym.kind {
        Kind::Concat(parts) => (parts.iter().map(part).collect(), true),
        _ => (vec![part(sym)], false),
    };
    Key { parts, typeof_text: Some(text), concat }
}

/// The text of an expression without constants and sets.
fn written(sym: &Sym) -> String {
    let table = crate::ruleset::Table::new(crate::ruleset::TableFamily::Inet, "");
    let style = super::Style::default();
    sym.write(&sym::Writer { table: &table, style: &style, numeric: false })
}

/// Types by number: 6 bits each, the last one lowest.
fn numbered(number: u32, bits: u32, order: Order) -> Option<Key> {
    if number < 64 {
        let ty = Ty::from_number(number)?;
        let part = Part { ty, order, bits };
        return Some(Key { parts: vec![part], typeof_text: None, concat: false });
    }
    let mut parts = Vec::new();
    for index in (0..5).rev() {
        let number = number >> (6 * index) & 0x3f;
        if number == 0 && parts.is_empty() {
            continue;
        }
        let ty = Ty::from_number(number)?;
        parts.push(Part { ty, order: ty.order(), bits: ty.bits() });
    }
    Some(Key { parts, typeof_text: None, concat: true })
}

/// The expression of `typeof` data: a number of nft's (`enum expr_types`) and what belongs to it.
fn typeof_sym(bytes: &[u8]) -> Option<Sym> {
    let nested = Udata(bytes.to_vec());
    let kind = u32_of(entry(&nested, 0))?;
    let data = Udata(entry(&nested, 1)?.to_vec());
    let number = |kind: u8| u32_of(entry(&data, kind));
    match kind {
        1 => Some(Sym::new(Kind::Written("verdict".to_owned()), Ty::Verdict, Order::None, 128)),
        7 => payload(&data),
        8 => extension(&data),
        9 => sym::meta(number(0)?),
        12 => {
            let dir = match number(1)? {
                0 => Some(CtDir::Original),
                1 => Some(CtDir::Reply),
                _ => None,
            };
            sym::ct(number(0)?, dir)
        }
        13 => {
            let mut parts = Vec::new();
            for (_, value) in data.entries() {
                parts.push(typeof_sym(value)?);
            }
            let bits = parts
                .iter()
                .fold(0u32, |sum, part| sum.saturating_add(part.bits.div_ceil(32).saturating_mul(32)));
            Some(Sym::new(Kind::Concat(parts), Ty::Invalid, Order::None, bits))
        }
        10 => super::foreign::socket(number(0)?, 0),
        11 => Some(super::foreign::fingerprint(0, 0)),
        23 => Some(super::foreign::numgen(number(0)?, number(1)?, number(2).unwrap_or(0))),
        25 => sym::rt(number(0)?),
        26 => sym::fib(number(0)?, number(1)?),
        27 => super::foreign::ipsec(number(0)?, number(2)?, number(1).unwrap_or(0)),
        _ => None,
    }
}

fn payload(data: &Udata) -> Option<Sym> {
    let number = |kind: u8| u32_of(entry(data, kind));
    let (header, field) = (number(0)?, number(1)?);
    let len = number(4);
    if let Some(header) = Header::from_number(header) {
        let index = usize::try_from(field).ok()?.checked_sub(1)?;
        let mut sym = sym::header_field(header, header.fields().get(index)?);
        if let Some(len) = len {
            sym.bits = len;
        }
        return Some(sym);
    }
    let layer = usize::try_from(number(2)?).ok()?;
    let mut sym = sym::payload(layer, number(3)?, len?);
    sym.ty = Ty::Raw;
    if let Kind::Payload(payload) = &mut sym.kind {
        payload.field = None;
    }
    Some(sym)
}

fn extension(data: &Udata) -> Option<Sym> {
    let number = |kind: u8| u32_of(entry(data, kind));
    let (which, field) = (number(0)?, number(1)?);
    let op = number(2).unwrap_or(exthdr::IPV6);
    let by_number = |e: &&super::headers::Extension| u32::from(e.number) == which;
    let (extension, index) = match op {
        exthdr::IPV6 => (
            IPV6_EXTENSIONS.get(usize::try_from(which).ok()?.checked_sub(1)?)?,
            usize::try_from(field).ok()?.checked_sub(1)?,
        ),
        exthdr::TCPOPT => (TCP_OPTIONS.iter().find(by_number)?, usize::try_from(field).ok()?),
        exthdr::IPV4 => {
            // nft counts the fields of all options in one list.
            let name = ["type", "length", "value", "ptr", "addr"]
                .get(usize::try_from(field).ok()?.checked_sub(1)?)?;
            let option = IPV4_OPTIONS.iter().find(by_number)?;
            (option, option.fields.iter().position(|field| field.name == *name)?)
        }
        _ => (SCTP_CHUNKS.iter().find(by_number)?, usize::try_from(field).ok()?),
    };
    let field = extension.fields.get(index)?;
    let place = Exthdr { op, number: extension.number, offset: field.offset, present: false };
    Some(sym::extension(place, field.bits))
}
