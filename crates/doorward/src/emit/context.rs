//! What a rule has said so far about the packet, and which of its matches a later one makes needless.
//!
//! nft leaves out `meta l4proto tcp` before `tcp dport 22`. This module decides when; it knows no registers.

use super::headers::{Field, Header, layer};
use super::matching::Rel;
use super::sym::{Kind, Payload, Sym};
use super::types::Ty;
use crate::ruleset::TableFamily;

/// The kernel's numbers of the keys that matter here.
pub(super) mod key {
    pub(in super::super) const PROTOCOL: u32 = 1;
    pub(in super::super) const IIFTYPE: u32 = 8;
    pub(in super::super) const NFPROTO: u32 = 15;
    pub(in super::super) const L4PROTO: u32 = 16;
    pub(in super::super) const CT_L3PROTO: u32 = 7;
    pub(in super::super) const CT_SRC: u32 = 8;
    pub(in super::super) const CT_DST: u32 = 9;
    pub(in super::super) const CT_PROTOCOL: u32 = 10;
    pub(in super::super) const CT_PROTO_SRC: u32 = 11;
    pub(in super::super) const CT_PROTO_DST: u32 = 12;
}

const IPV4: u128 = 2;
const IPV6: u128 = 10;

/// A match or another statement of a rule.
#[derive(Debug)]
pub(super) enum Item {
    Match(Rel),
    Text(String),
    /// Left out.
    Gone,
}

/// What is known of the packet.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) family: TableFamily,
    /// The header of each layer.
    pub(super) headers: [Option<Header>; 5],
    icmp_type: Option<u8>,
    stacked: Vec<Header>,
    /// For each layer, the statement that said which header it has.
    said_by: [Option<usize>; 6],
    said_icmp_type: Option<u8>,
    /// The match before, which may be the lower end of a range.
    pub(super) previous: Option<usize>,
}

impl Context {
    pub(super) fn new(family: TableFamily) -> Context {
        let mut headers = [None; 5];
        if let Some(header) = hook_header(family) {
            headers[header.layer()] = Some(header);
        }
        Context {
            family,
            headers,
            icmp_type: None,
            stacked: Vec::new(),
            said_by: [None; 6],
            said_icmp_type: None,
            previous: None,
        }
    }

    /// Whether one table sees packets of several network layers.
    fn is_mixed(&self) -> bool {
        matches!(self.family, TableFamily::Inet | TableFamily::Bridge | TableFamily::Netdev)
    }

    /// A statement with effects: what was said before it must stay.
    pub(super) fn keep_all(&mut self) {
        self.said_by = [None; 6];
        self.said_icmp_type = None;
        self.previous = None;
    }

    /// The statement that said what the header of a layer is.
    fn said(&self, layer: usize) -> Option<usize> {
        let slot = |index: usize| self.said_by.get(index).copied().flatten();
        slot(layer).or_else(|| (layer == layer::TRANSPORT).then(|| slot(layer::INNER)).flatten())
    }

    /// Leaves out the statement that said what the header of a layer is.
    pub(super) fn drop_said(&mut self, layer: usize, items: &mut [Item]) {
        let Some(index) = self.said(layer) else { return };
        if let Some(item) = items.get_mut(index) {
            *item = Item::Gone;
        }
        if self.previous == Some(index) {
            self.previous = None;
        }
        for slot in &mut self.said_by {
            if *slot == Some(index) {
                *slot = None;
            }
        }
    }

    /// Notes that a statement about `layer` says what the next layer is.
    pub(super) fn say(&mut self, layer: usize, index: usize, rel: &Rel) {
        let type_of = |payload: &Payload| match (payload.field, rel.right.number()) {
            (Some((header @ (Header::Icmp | Header::Icmp6), _)), Some(n)) if rel.right.bits == 8 => {
                u8::try_from(n).ok().map(|number| (header, number))
            }
            _ => None,
        };
        if let Kind::Payload(payload) = &rel.left.kind
            && let Some((header, number)) = type_of(payload)
        {
            let number = if header == Header::Icmp && number == 0 { 8 } else { number };
            self.said_icmp_type = Some(number);
            let echo = if header == Header::Icmp { number == 8 } else { matches!(number, 128 | 129) };
            if echo {
                return;
            }
        }
        if let Some(slot) = self.said_by.get_mut(layer + 1) {
            *slot = Some(index);
        }
    }

    /// The header in which a payload lies, and the bits of the headers before it in the same layer.
    fn header_of(&self, payload: &Payload) -> Option<(Header, u32)> {
        let top = self.headers.get(payload.layer).copied().flatten()?;
        if payload.layer != layer::LINK || payload.offset < top.bits() {
            return Some((top, 0));
        }
        let mut rest = payload.offset;
        let mut skipped = 0;
        for header in &self.stacked {
            if rest < header.bits() {
                return Some((*header, skipped));
            }
            rest -= header.bits();
            skipped += header.bits();
        }
        Some((top, skipped))
    }

    fn means(&self, field: &Field) -> bool {
        match (field.icmp_type, self.icmp_type) {
            (Some(wanted), Some(is)) => wanted == is,
            _ => true,
        }
    }

    /// Finds the field that a payload is.
    pub(super) fn complete(&self, sym: &mut Sym) {
        let Kind::Payload(payload) = &mut sym.kind else { return };
        let Some((header, skipped)) = self.header_of(payload) else { return };
        let offset = payload.offset.wrapping_sub(skipped);
        let here = |f: &&Field| f.offset == offset && f.bits == sym.bits && self.means(f);
        if let Some(field) = header.fields().iter().find(here) {
            payload.field = Some((header, field));
            sym.ty = field.ty;
        }
    }

    /// Splits a payload that was loaded at once into the fields that it covers.
    pub(super) fn fields_of(&self, payload: &Payload, bits: u32) -> Vec<Sym> {
        let mut parts = Vec::new();
        let (mut offset, mut left) = (payload.offset, bits);
        if let Some((header, skipped)) = self.header_of(payload) {
            offset = offset.wrapping_sub(skipped);
            for field in header.fields() {
                if field.offset != offset || !self.means(field) {
                    continue;
                }
                let mut sym = super::sym::header_field(header, field);
                if let Kind::Payload(part) = &mut sym.kind {
                    part.layer = payload.layer;
                }
                if field.bits > left {
                    sym.bits = left;
                    parts.push(sym);
                    return parts;
                }
                parts.push(sym);
                offset += field.bits;
                left -= field.bits;
                if left == 0 {
                    return parts;
                }
            }
        }
        parts.push(super::sym::payload(payload.layer, offset, left));
        parts
    }

    /// Narrows a payload to the field that a mask selects; gives the bits by which constants are shifted.
    pub(super) fn trim(&self, sym: &mut Sym, mask: &Sym) -> Option<u32> {
        let number = mask.number().filter(|n| *n != 0)?;
        let shift = number.trailing_zeros();
        let mask_len = shift + (!(number >> shift)).trailing_zeros();
        let Kind::Payload(payload) = &mut sym.kind else { return None };
        let (header, skipped) = self.header_of(payload)?;
        let before = (mask.bits.div_ceil(8) * 8).checked_sub(mask_len)?;
        let mut offset = payload.offset.wrapping_sub(skipped).wrapping_add(before);
        let mut left = sym.bits;
        let mut len = 0;
        for field in header.fields() {
            if field.offset != offset {
                continue;
            }
            left = left.checked_sub(field.bits).filter(|left| *left > 0)?;
            offset += field.bits;
            len += field.bits;
            if shift + len == mask_len {
                payload.offset = payload.offset.wrapping_add(before);
                sym.bits = len;
                return Some(shift);
            }
        }
        None
    }

    /// Learns from a match for equality with a constant.
    pub(super) fn learn(&mut self, left: &Sym, number: u128) {
        let small = u32::try_from(number).unwrap_or(u32::MAX);
        match &left.kind {
            Kind::Meta(key) => self.learn_meta(*key, small),
            Kind::Ct { key, .. } => {
                let layer = ct_layer(*key);
                let announces = matches!(*key, key::CT_L3PROTO | key::CT_PROTOCOL);
                let next = self.headers[layer].filter(|_| announces).and_then(|h| h.next(small));
                if let Some(next) = next {
                    self.headers[next.layer()] = Some(next);
                }
            }
            Kind::Payload(payload) => self.learn_payload(payload, small),
            _ => {}
        }
    }

    fn learn_meta(&mut self, meta: u32, number: u32) {
        let hook = hook_header(self.family);
        match meta {
            key::IIFTYPE if self.family != TableFamily::Bridge => {
                let header = if number == 1 { Header::Ether } else { Header::Unknown };
                self.headers[layer::LINK] = Some(header);
            }
            key::NFPROTO => {
                let own = u32::from(self.family.number()) == number;
                let header = match hook {
                    Some(hook) if hook.layer() == layer::NETWORK && own => hook,
                    Some(hook) if hook.layer() == layer::LINK => hook.next(number).unwrap_or(Header::Unknown),
                    _ => Header::Unknown,
                };
                self.headers[layer::NETWORK] = Some(header);
            }
            key::L4PROTO => {
                self.headers[layer::TRANSPORT] = Some(Header::transport(number).unwrap_or(Header::Unknown));
            }
            key::PROTOCOL if matches!(self.family, TableFamily::Netdev | TableFamily::Bridge) => {
                let next = hook.and_then(|hook| hook.next(number));
                self.headers[layer::NETWORK] = Some(next.unwrap_or(Header::Unknown));
            }
            _ => {}
        }
    }

    fn learn_payload(&mut self, payload: &Payload, number: u32) {
        let Some((own, field)) = payload.field else { return };
        if !own.announces(field) {
            return;
        }
        let Some(base) = self.headers.get(payload.layer).copied().flatten() else { return };
        let Some(next) = base.next(number) else {
            let Ok(number) = u8::try_from(number) else {
                return;
            };
            match base {
                Header::Icmp => self.icmp_type = Some(if number == 0 { 8 } else { number }),
                Header::Icmp6 => self.icmp_type = Some(if number == 129 { 128 } else { number }),
                _ => {}
            }
            return;
        };
        if next.layer() == base.layer() && next.layer() == layer::LINK {
            self.stacked.push(base);
        }
        self.headers[next.layer()] = Some(next);
    }

    /// What the elements of an anonymous set say of the ICMP type.
    pub(super) fn learn_icmp_type(&mut self, sym: &Sym, number: u8) {
        let Kind::Payload(payload) = &sym.kind else { return };
        let is_icmp = matches!(self.headers[layer::TRANSPORT], Some(Header::Icmp | Header::Icmp6));
        if self.icmp_type.is_none()
            && is_icmp
            && payload.layer == layer::TRANSPORT
            && payload.offset == 0
            && number != 0
        {
            self.icmp_type = Some(number);
        }
    }

    /// Whether a match on the type of a link header says that another link header follows.
    pub(super) fn is_stacked(&self, rel: &Rel, layer: usize) -> bool {
        let (Kind::Payload(payload), Some(number)) = (&rel.left.kind, rel.right.number()) else {
            return false;
        };
        let announces = payload.field.is_some_and(|(header, field)| header.announces(field));
        let base = self.headers.get(layer).copied().flatten();
        let next = base.and_then(|h| h.next(u32::try_from(number).ok()?));
        announces && next.is_some_and(|next| Some(next.layer()) == base.map(Header::layer))
    }

    /// A payload was written: what it implies need not be said before it.
    pub(super) fn payload_implies(&mut self, sym: &Sym, items: &mut [Item]) {
        let Kind::Payload(payload) = &sym.kind else { return };
        let Some(index) = self.said(payload.layer) else { return };
        if let Some(Item::Match(said)) = items.get(index)
            && self.implies(payload, said)
        {
            self.drop_said(payload.layer, items);
        }
    }

    fn implies(&self, payload: &Payload, said: &Rel) -> bool {
        let said_payload = match &said.left.kind {
            Kind::Payload(payload) => Some(payload),
            _ => None,
        };
        let said_header = said_payload.and_then(|p| p.field).map(|(header, _)| header);
        if self.is_mixed()
            && let Some(before) = said_payload
        {
            if before.layer == layer::NETWORK
                && matches!(said_header, Some(Header::Ip | Header::Ip6))
                && payload.layer == layer::TRANSPORT
            {
                return false;
            }
            if said.is_equality() && before.layer == payload.layer {
                if payload.field.is_some_and(|(header, field)| header.announces(field)) {
                    return false;
                }
                if payload.layer == layer::LINK {
                    return match said_header {
                        Some(Header::Vlan) => false,
                        Some(Header::Ether) => said.right.number().is_none_or(|n| n == 0x8100),
                        _ => true,
                    };
                }
            }
        }
        let same_layer = said_payload.is_some_and(|before| before.layer == layer::TRANSPORT);
        if payload.layer != layer::TRANSPORT || !same_layer {
            return true;
        }
        if !matches!(said_header, Some(Header::Icmp | Header::Icmp6)) {
            return true;
        }
        let Some((header, field)) = payload.field else { return false };
        field.icmp_type.is_some() && Some(header) == said_header && field.icmp_type == self.said_icmp_type
    }

    /// A property of the packet or connection was matched: may the statement about its layer be left out?
    pub(super) fn property_implies(&self, left: &Sym, number: u128, items: &[Item]) -> bool {
        let Some(Item::Match(said)) = self.said(layer::NETWORK).and_then(|index| items.get(index)) else {
            return true;
        };
        let said_number = said.right.number();
        let by_ethertype = match said_number {
            Some(0x0800) => Some(IPV4),
            Some(0x86dd) => Some(IPV6),
            _ => None,
        };
        let family = match &said.left.kind {
            Kind::Meta(key::NFPROTO) => said_number,
            Kind::Meta(key::PROTOCOL) => by_ethertype,
            Kind::Payload(p) if p.layer == layer::LINK && said.left.ty == Ty::EtherType => by_ethertype,
            _ => return true,
        };
        match self.family {
            TableFamily::Inet | TableFamily::Netdev | TableFamily::Bridge => {}
            TableFamily::Ip | TableFamily::Ip6 => {
                return family == Some(u128::from(self.family.number()));
            }
            _ => return true,
        }
        if left.kind != Kind::Meta(key::L4PROTO) {
            return true;
        }
        matches!((family, number), (Some(IPV4), 1) | (Some(IPV6), 58) | (None, 1 | 58))
    }

    /// The network layer, if the rule or the family says which: `ip` or `ip6`.
    pub(super) fn network(&self) -> Option<Header> {
        self.headers[layer::NETWORK].filter(|h| matches!(h, Header::Ip | Header::Ip6))
    }
}

/// What a table's family says of its packets.
fn hook_header(family: TableFamily) -> Option<Header> {
    Some(match family {
        TableFamily::Bridge => Header::Ether,
        TableFamily::Netdev => Header::Netdev,
        TableFamily::Inet => Header::Inet,
        TableFamily::Ip => Header::Ip,
        TableFamily::Ip6 => Header::Ip6,
        TableFamily::Arp => Header::Arp,
        TableFamily::Other(_) => return None,
    })
}

/// The layer of which a property of the connection speaks.
pub(super) const fn ct_layer(key: u32) -> usize {
    match key {
        key::CT_L3PROTO => layer::LINK,
        key::CT_SRC | key::CT_DST | key::CT_PROTOCOL => layer::NETWORK,
        key::CT_PROTO_SRC | key::CT_PROTO_DST => layer::TRANSPORT,
        _ => layer::NONE,
    }
}

/// The layer of which a property of the packet speaks, and whether it announces the next.
pub(super) const fn meta_layer(meta: u32) -> (usize, bool) {
    match meta {
        key::IIFTYPE => (layer::NONE, true),
        key::NFPROTO | key::PROTOCOL => (layer::LINK, true),
        key::L4PROTO => (layer::NETWORK, true),
        _ => (layer::NONE, false),
    }
}
