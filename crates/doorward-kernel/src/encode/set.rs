//! Sets and elements as attributes; knows nothing of messages.

use doorward::ruleset::{Data, DataType, Element, Set, set_flags};

use super::expr::{write_data, write_exprs, write_value};
use crate::nft;
use crate::wire::Writer;

/// The attributes of a set, without its table.
pub(crate) fn write_set(w: &mut Writer, set: &Set) {
    let many = if set.exprs.len() > 1 { set_flags::EXPR } else { 0 };
    w.str(nft::set::NAME, &set.name);
    w.be32(nft::set::FLAGS, set.flags | many);
    w.be32(nft::set::KEY_TYPE, set.key_type);
    w.be32(nft::set::KEY_LEN, set.key_len);
    match set.data {
        None => {}
        Some(DataType::Verdict) => w.be32(nft::set::DATA_TYPE, nft::DATA_VERDICT),
        Some(DataType::Value { kind, len }) => {
            w.be32(nft::set::DATA_TYPE, kind);
            w.be32(nft::set::DATA_LEN, len);
        }
    }
    if let Some(kind) = set.object_kind {
        w.be32(nft::set::OBJ_TYPE, kind);
    }
    if let Some(timeout) = set.timeout {
        w.be64(nft::set::TIMEOUT, timeout);
    }
    if let Some(interval) = set.gc_interval {
        w.be32(nft::set::GC_INTERVAL, interval);
    }
    if set.policy != 0 {
        w.be32(nft::set::POLICY, set.policy);
    }
    if set.size.is_some() || !set.key_parts.is_empty() {
        w.nest(nft::set::DESC, |w| {
            if let Some(size) = set.size {
                w.be32(nft::set_desc::SIZE, size);
            }
            if !set.key_parts.is_empty() {
                w.nest(nft::set_desc::CONCAT, |w| {
                    for len in &set.key_parts {
                        w.nest(nft::LIST_ELEM, |w| w.be32(nft::set_field::LEN, *len));
                    }
                });
            }
        });
    }
    w.some(nft::set::USERDATA, &set.udata.0);
    write_exprs(w, nft::set::EXPR, nft::set::EXPRESSIONS, &set.exprs);
}

/// An element that is only a key.
pub(crate) fn write_key(w: &mut Writer, key: &[u8]) {
    write_value(w, nft::elem::KEY, key);
}

/// An element; when it is deleted only what names it.
pub(crate) fn write_element(w: &mut Writer, element: &Element, adding: bool) {
    if !element.key.is_empty() {
        write_value(w, nft::elem::KEY, &element.key);
    }
    if let Some(end) = &element.key_end {
        write_value(w, nft::elem::KEY_END, end);
    }
    if element.flags != 0 {
        w.be32(nft::elem::FLAGS, element.flags);
    }
    if !adding {
        return;
    }
    match &element.data {
        None => {}
        Some(Data::Value(bytes)) => write_value(w, nft::elem::DATA, bytes),
        Some(Data::Verdict(verdict)) => write_data(w, nft::elem::DATA, verdict),
    }
    if let Some(timeout) = element.timeout {
        w.be64(nft::elem::TIMEOUT, timeout);
    }
    if let Some(expiration) = element.expiration {
        w.be64(nft::elem::EXPIRATION, expiration);
    }
    w.some(nft::elem::USERDATA, &element.udata.0);
    if let Some(object) = &element.object {
        w.str(nft::elem::OBJREF, object);
    }
    write_exprs(w, nft::elem::EXPR, nft::elem::EXPRESSIONS, &element.exprs);
}
