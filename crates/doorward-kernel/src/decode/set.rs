//! From attributes to sets and elements; a set of keys alone stays one piece of memory.

use doorward::ruleset::{Data, DataType, Element, Elements, Set, Udata};

use super::expr::{read_expr, read_list, value, verdict};
use crate::nft;
use crate::wire::{Attrs, array, text};

/// A set without its elements, and how many the kernel says there are.
pub(super) fn read_set(bytes: &[u8]) -> (Set, Option<u32>) {
    let mut set = Set {
        name: String::new(),
        flags: 0,
        key_type: 0,
        key_len: 0,
        key_parts: Vec::new(),
        data: None,
        object_kind: None,
        size: None,
        timeout: None,
        gc_interval: None,
        policy: 0,
        exprs: Vec::new(),
        udata: Udata::default(),
        elements: Elements::Full(Vec::new()),
    };
    let mut count = None;
    let (mut data_kind, mut data_len) = (None, 0);
    for (kind, payload) in Attrs::new(bytes) {
        let number = array(payload, 0).map(u32::from_be_bytes);
        match kind {
            nft::set::NAME => set.name = text(payload),
            nft::set::FLAGS => set.flags = number.unwrap_or(0),
            nft::set::KEY_TYPE => set.key_type = number.unwrap_or(0),
            nft::set::KEY_LEN => set.key_len = number.unwrap_or(0),
            nft::set::DATA_TYPE => data_kind = number,
            nft::set::DATA_LEN => data_len = number.unwrap_or(0),
            nft::set::OBJ_TYPE => set.object_kind = number,
            nft::set::TIMEOUT => set.timeout = array(payload, 0).map(u64::from_be_bytes),
            nft::set::GC_INTERVAL => set.gc_interval = number,
            nft::set::POLICY => set.policy = number.unwrap_or(0),
            nft::set::COUNT => count = number,
            nft::set::USERDATA => set.udata = Udata(payload.to_vec()),
            nft::set::DESC => read_desc(&mut set, payload),
            nft::set::EXPR => set.exprs.push(read_expr(payload)),
            nft::set::EXPRESSIONS => set.exprs.extend(read_list(payload)),
            _ => {}
        }
    }
    set.data = data_kind.map(|kind| match kind {
        nft::DATA_VERDICT => DataType::Verdict,
        kind => DataType::Value { kind, len: data_len },
    });
    (set, count)
}

fn read_desc(set: &mut Set, bytes: &[u8]) {
    for (kind, payload) in Attrs::new(bytes) {
        match kind {
            nft::set_desc::SIZE => set.size = array(payload, 0).map(u32::from_be_bytes),
            nft::set_desc::CONCAT => {
                set.key_parts = Attrs::new(payload)
                    .filter_map(|(_, field)| Attrs::find(field, nft::set_field::LEN))
                    .filter_map(|len| array(len, 0).map(u32::from_be_bytes))
                    .collect();
            }
            _ => {}
        }
    }
}

/// Elements as they arrive; keys only, until one has more.
pub(crate) struct Collector {
    key_len: usize,
    elements: Elements,
}

impl Collector {
    pub(crate) fn new(key_len: u32) -> Collector {
        Collector { key_len: key_len as usize, elements: Elements::Plain(Vec::new()) }
    }

    pub(crate) fn count(&self) -> usize {
        match &self.elements {
            Elements::Plain(bytes) => bytes.len() / self.key_len.max(1),
            Elements::Full(list) => list.len(),
        }
    }

    /// Takes a list of elements.
    pub(crate) fn take(&mut self, list: &[u8]) {
        for (kind, bytes) in Attrs::new(list) {
            if kind == nft::LIST_ELEM {
                self.one(bytes);
            }
        }
    }

    fn one(&mut self, bytes: &[u8]) {
        if let Elements::Plain(keys) = &mut self.elements {
            if let Some(key) = only_key(bytes)
                && key.len() == self.key_len
                && !key.is_empty()
            {
                keys.extend_from_slice(key);
                return;
            }
            let list = keys.chunks_exact(self.key_len.max(1)).map(|key| Element::of(key.to_vec())).collect();
            self.elements = Elements::Full(list);
        }
        if let Elements::Full(list) = &mut self.elements {
            list.push(read_element(bytes));
        }
    }

    /// All of them; none at all have the form that a set without elements has.
    pub(crate) fn finish(self) -> Elements {
        match self.elements {
            Elements::Plain(keys) if keys.is_empty() => Elements::Full(Vec::new()),
            elements => elements,
        }
    }
}

/// The key of an element that has nothing else.
fn only_key(bytes: &[u8]) -> Option<&[u8]> {
    let mut attrs = Attrs::new(bytes);
    let (nft::elem::KEY, key) = attrs.next()? else {
        return None;
    };
    if attrs.next().is_some() {
        return None;
    }
    let mut inner = Attrs::new(key);
    let (nft::data::VALUE, key) = inner.next()? else {
        return None;
    };
    inner.next().is_none().then_some(key)
}

pub(super) fn read_element(bytes: &[u8]) -> Element {
    let mut element = Element::default();
    for (kind, payload) in Attrs::new(bytes) {
        match kind {
            nft::elem::KEY => element.key = value(payload).unwrap_or_default(),
            nft::elem::KEY_END => element.key_end = value(payload),
            nft::elem::DATA => {
                element.data =
                    verdict(payload).map(Data::Verdict).or_else(|| value(payload).map(Data::Value));
            }
            nft::elem::FLAGS => element.flags = array(payload, 0).map_or(0, u32::from_be_bytes),
            nft::elem::TIMEOUT => element.timeout = array(payload, 0).map(u64::from_be_bytes),
            nft::elem::EXPIRATION => {
                element.expiration = array(payload, 0).map(u64::from_be_bytes);
            }
            nft::elem::USERDATA => element.udata = Udata(payload.to_vec()),
            nft::elem::EXPR => element.exprs.push(read_expr(payload)),
            nft::elem::EXPRESSIONS => element.exprs.extend(read_list(payload)),
            nft::elem::OBJREF => element.object = Some(text(payload)),
            _ => {}
        }
    }
    element
}
