//! Sets and maps: their declaration and their elements, in the order and on the lines of nft; knows no rule.

use super::key::{self, Key, Part};
use super::rule::{element_exprs, prefix_len};
use super::sym::{self, Kind, Sym, Writer, verdict_text};
use super::types::{Base, Order, Ty, duration};
use super::{clean, statement};
use crate::ruleset::{Data, DataType, Element, Elements, Set, Table, comment_of, set_flags, udata_kind};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

const INTERVAL_END: u32 = 1;
const CATCHALL: u32 = 2;

/// Writes a set with a name; notes go to `notes`.
pub(super) fn write(table: &Table, set: &Set, style: &super::Style, notes: &mut Vec<String>) -> String {
    let writer = Writer { table, style, numeric: false };
    let word = match set.flags {
        f if f & set_flags::ANONYMOUS != 0 && f & set_flags::EVAL != 0 => "meter",
        f if f & (set_flags::MAP | set_flags::OBJECT) != 0 => "map",
        _ => "set",
    };
    let name = clean(&set.name);
    let Some((key, data)) = key::of(set) else {
        notes.push(format!("set {name}: unknown data type {}", set.key_type));
        return format!("\t# {word} {name} has the unknown data type {}\n", set.key_type);
    };
    let mut text = format!("\t{word} {name} {{\n\t\t{}\n", key_line(set, &key, data.as_ref(), notes));
    for line in properties(table, set, style, notes) {
        let _ = writeln!(text, "\t\t{line}");
    }
    let elements = elements(set, 0, &writer, notes);
    if !elements.is_empty() {
        let lines = joined(&elements, key_lines(&key));
        let _ = writeln!(text, "\t\telements = {{ {lines} }}");
    }
    text + "\t}\n"
}

/// The key of one element; of an interval, with its end.
pub(super) fn element(table: &Table, set: &Set, number: usize, style: &super::Style) -> String {
    let bare = |element: &Element| Element {
        key: element.key.clone(),
        key_end: element.key_end.clone(),
        flags: element.flags,
        ..Element::default()
    };
    let chosen = match &set.elements {
        Elements::Plain(bytes) => {
            let step = set.key_len.max(1) as usize;
            Elements::Plain(bytes.chunks_exact(step).nth(number).unwrap_or_default().to_vec())
        }
        Elements::Full(list) => {
            let start = list.get(number);
            let end = start.and_then(|start| {
                let ends = list.iter().filter(|one| one.flags & INTERVAL_END != 0 && one.key > start.key);
                ends.min_by(|one, other| one.key.cmp(&other.key))
            });
            let end = end.filter(|_| set.flags & set_flags::INTERVAL != 0);
            Elements::Full(start.into_iter().chain(end).map(bare).collect())
        }
    };
    let one = Set { elements: chosen, data: None, object_kind: None, ..set.without_elements() };
    let texts = elements(&one, 0, &Writer { table, style, numeric: false }, &mut Vec::new());
    let typed = key::of(set).and_then(|(key, _)| key.typeof_text);
    texts.iter().map(|text| with_addresses(text, typed.as_deref())).collect::<Vec<_>>().join(", ")
}

/// Raw bytes of the network header that are an address, written as one.
fn with_addresses(text: &str, typed: Option<&str>) -> String {
    let Some(typed) = typed else { return text.to_owned() };
    let address = |part: &str, raw: &str| -> Option<String> {
        let number = u128::from_str_radix(part.strip_prefix("0x")?, 16).ok()?;
        match raw {
            "@nh,96,32" | "@nh,128,32" => Some(Ipv4Addr::from(u32::try_from(number).ok()?).to_string()),
            "@nh,64,128" | "@nh,192,128" => Some(Ipv6Addr::from(number).to_string()),
            "@nh,64,64" => Some(format!("{}/64", Ipv6Addr::from(number << 64))),
            _ => None,
        }
    };
    let parts = text.split(" . ").zip(typed.split(" . "));
    if text.split(" . ").count() != typed.split(" . ").count() {
        return text.to_owned();
    }
    parts
        .map(|(part, raw)| address(part, raw).unwrap_or_else(|| part.to_owned()))
        .collect::<Vec<_>>()
        .join(" . ")
}

/// The elements of an anonymous set, as they stand in a rule.
pub(super) fn inline(set: &Set, shift: u32, writer: &Writer) -> String {
    let elements = elements(set, shift, writer, &mut Vec::new());
    format!("{{ {} }}", elements.join(", "))
}

fn key_lines(key: &Key) -> usize {
    match key.parts.as_slice() {
        [part] if !key.concat => part.ty.per_line(),
        _ => 1,
    }
}

fn joined(elements: &[String], per_line: usize) -> String {
    let lines: Vec<String> = elements.chunks(per_line.max(1)).map(|line| line.join(", ")).collect();
    lines.join(",\n\t\t\t     ")
}

fn key_line(set: &Set, key: &Key, data: Option<&Key>, notes: &mut Vec<String>) -> String {
    let mut text = match &key.typeof_text {
        Some(text) => format!("typeof {text}"),
        None => {
            if !key.has_type_text() {
                notes.push(format!("set {}: nft cannot declare its type", clean(&set.name)));
            }
            format!("type {}", key.type_text())
        }
    };
    if let Some(data) = data {
        text.push_str(" : ");
        if key::data_is_interval(set) {
            text.push_str("interval ");
        }
        match (&key.typeof_text, &data.typeof_text) {
            (Some(_), Some(written)) => text.push_str(written),
            _ => text.push_str(&data.type_text()),
        }
    } else if let Some(kind) = set.object_kind {
        let _ = write!(text, " : {}", statement::object_kind(kind).unwrap_or("unknown"));
    }
    text
}

/// The lines between type and elements.
fn properties(table: &Table, set: &Set, style: &super::Style, notes: &mut Vec<String>) -> Vec<String> {
    let mut lines = Vec::new();
    if set.flags & set_flags::CONSTANT == 0 && set.policy != 0 {
        let word = if set.policy == 1 { "memory" } else { "unknown" };
        lines.push(format!("policy {word}"));
    }
    if let Some(size) = set.size.filter(|size| *size > 0 && set.flags & set_flags::CONSTANT == 0) {
        lines.push(format!("size {size}"));
    }
    let timeout = set.timeout.filter(|timeout| *timeout > 0);
    let shown = if timeout.is_some() { set.flags & !set_flags::TIMEOUT } else { set.flags };
    let named = [
        (set_flags::CONSTANT, "constant"),
        (set_flags::EVAL, "dynamic"),
        (set_flags::INTERVAL, "interval"),
        (set_flags::TIMEOUT, "timeout"),
    ];
    if named.iter().any(|(flag, _)| shown & flag != 0) {
        // A default timeout implies the flag; nft still names it beside other flags.
        let words: Vec<&str> =
            named.iter().filter(|(flag, _)| set.flags & flag != 0).map(|(_, name)| *name).collect();
        lines.push(format!("flags {}", words.join(",")));
    }
    if !set.exprs.is_empty() {
        let exprs = element_exprs(table, style, &set.exprs, true);
        note_unknown(set, &exprs.unknown, notes);
        lines.push(exprs.text);
    }
    if key::auto_merge(set) {
        lines.push("auto-merge".to_owned());
    }
    if let Some(timeout) = timeout {
        lines.push(format!("timeout {}", duration(timeout)));
    }
    if let Some(interval) = set.gc_interval.filter(|interval| *interval > 0) {
        lines.push(format!("gc-interval {}", duration(u64::from(interval))));
    }
    if let Some(comment) = comment_of(udata_kind::SET_COMMENT, &set.udata) {
        lines.push(format!("comment \"{}\"", clean(&comment)));
    }
    lines
}

fn note_unknown(set: &Set, unknown: &[(String, usize)], notes: &mut Vec<String>) {
    for (name, bytes) in unknown {
        notes.push(format!("set {}: unknown expression {} ({bytes} bytes)", clean(&set.name), clean(name)));
    }
}

/// An element without a structure of its own; shared with those that have one.
struct Entry<'a> {
    key: &'a [u8],
    element: Option<&'a Element>,
}

/// The elements as text, in nft's order.
fn elements(set: &Set, shift: u32, writer: &Writer, notes: &mut Vec<String>) -> Vec<String> {
    let Some((key, data)) = key::of(set) else { return Vec::new() };
    let step = (set.key_len.max(1)) as usize;
    let entries: Vec<Entry> = match &set.elements {
        Elements::Plain(bytes) => bytes.chunks_exact(step).map(|key| Entry { key, element: None }).collect(),
        Elements::Full(list) => {
            list.iter().map(|element| Entry { key: &element.key, element: Some(element) }).collect()
        }
    };
    let (catchall, mut entries): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.flags() & CATCHALL != 0);
    let mut list = List { set, key: &key, data: data.as_ref(), shift, writer, notes, out: Vec::new() };
    let interval = set.flags & set_flags::INTERVAL != 0;
    if interval && key.concat {
        for entry in &entries {
            let end = entry.element.and_then(|e| e.key_end.as_deref());
            let text = list.concat(entry.key, end);
            list.push(text, entry);
        }
    } else if interval && let [part] = key.parts.as_slice() {
        entries.sort_by_key(|entry| (sym::number(entry.key), entry.flags() & INTERVAL_END == 0));
        list.intervals(*part, &entries);
    } else {
        // nft's sort puts the later of two equal keys first.
        entries.reverse();
        entries.sort_by_cached_key(|entry| sort_key(&key, entry.key));
        for entry in &entries {
            let text = list.point(entry.key);
            list.push(text, entry);
        }
    }
    for entry in &catchall {
        list.push("*".to_owned(), entry);
    }
    list.out
}

impl Entry<'_> {
    fn flags(&self) -> u32 {
        self.element.map_or(0, |element| element.flags)
    }
}

/// What nft sorts by: the number of a single value, the bytes of a concatenation from the last one back.
fn sort_key(key: &Key, bytes: &[u8]) -> Vec<u8> {
    match key.parts.as_slice() {
        [part] if !key.concat => {
            let mut bytes = bytes.to_vec();
            if part.order == Order::Host && cfg!(target_endian = "little") {
                bytes.reverse();
            }
            if part.ty.base() == Base::Flags {
                keep_lowest_bit(&mut bytes);
            }
            bytes
        }
        parts => {
            let mut sorted = Vec::new();
            let mut rest = bytes;
            for part in parts {
                let len = part.bits.div_ceil(8) as usize;
                sorted.extend(rest.get(..len).unwrap_or(rest));
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
            }
            sorted.reverse();
            sorted
        }
    }
}

/// Of several flags, nft looks at the first only.
fn keep_lowest_bit(bytes: &mut [u8]) {
    let mut found = false;
    for byte in bytes.iter_mut().rev() {
        *byte = if found { 0 } else { *byte & byte.wrapping_neg() };
        found |= *byte != 0;
    }
}

/// Elements while they are written.
struct List<'a, 'w> {
    set: &'a Set,
    key: &'a Key,
    data: Option<&'a Key>,
    shift: u32,
    writer: &'a Writer<'w>,
    notes: &'a mut Vec<String>,
    out: Vec<String>,
}

impl List<'_, '_> {
    /// Adds an element: its key as text, then its state, times, comment and value.
    fn push(&mut self, mut text: String, entry: &Entry) {
        if let Some(element) = entry.element {
            let exprs = element_exprs(self.writer.table, self.writer.style, &element.exprs, false);
            if !exprs.text.is_empty() {
                let _ = write!(text, " {}", exprs.text);
            }
            note_unknown(self.set, &exprs.unknown, self.notes);
            if let Some(timeout) = element.timeout.filter(|t| *t > 0) {
                let _ = write!(text, " timeout {}", duration(timeout));
            }
            if let Some(left) = element.expiration.filter(|t| *t > 0) {
                let _ = write!(text, " expires {}", duration(left));
            }
            if let Some(comment) = comment_of(udata_kind::ELEM_COMMENT, &element.udata) {
                let _ = write!(text, " comment \"{}\"", clean(&comment));
            }
            if let Some(value) = self.value(element) {
                let _ = write!(text, " : {value}");
            }
        }
        self.out.push(text);
    }

    fn value(&self, element: &Element) -> Option<Cow<'static, str>> {
        if let Some(object) = &element.object {
            return Some(format!("\"{}\"", clean(object)).into());
        }
        let bytes = match element.data.as_ref()? {
            Data::Verdict(verdict) => return Some(verdict_text(verdict).into()),
            Data::Value(bytes) => bytes,
        };
        let data = self.data?;
        let interval = key::data_is_interval(self.set) && self.set.data != Some(DataType::Verdict);
        let mut texts = Vec::new();
        let mut rest = bytes.as_slice();
        let second = bytes.get(bytes.len() / 2..).unwrap_or(&[]);
        let mut rest_end = second;
        for part in &data.parts {
            let bits = match (data.concat, interval) {
                (false, true) => sym::bits(bytes.len() / 2),
                (false, false) => sym::bits(bytes.len()),
                (true, _) => part.bits,
            };
            let len = bits.div_ceil(8) as usize;
            let mut first = rest.get(..len).unwrap_or(rest);
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
            if !interval {
                texts.push(self.one(*part, first, bits));
                continue;
            }
            let last = rest_end.get(..len).unwrap_or(rest_end);
            rest_end = rest_end.get(len.next_multiple_of(4)..).unwrap_or(&[]);
            if !data.concat {
                first = bytes.get(..len).unwrap_or(first);
            }
            texts.push(self.range(*part, first, last, bits, matches!(part.ty, Ty::Ip4 | Ty::Ip6)));
        }
        Some(texts.join(" . ").into())
    }

    /// A value in its own byte order.
    fn one(&self, part: Part, bytes: &[u8], bits: u32) -> String {
        let Some(value) = Sym::of_bytes(bytes) else { return hex(bytes) };
        let mut value = value.typed(part.ty, part.order);
        value.bits = bits;
        value.settled().write(self.writer)
    }

    /// A key that is no interval.
    fn point(&self, bytes: &[u8]) -> String {
        match self.key.parts.as_slice() {
            [part] if !self.key.concat => {
                let mut bits = sym::bits(bytes.len());
                if self.shift == 0 {
                    return self.one(*part, bytes, bits);
                }
                let Some(value) = Sym::of_bytes(bytes) else { return hex(bytes) };
                bits = bits.saturating_sub(self.shift);
                let number = value.number().unwrap_or(0) >> self.shift.min(127);
                part.ty.write(number, bits, false, self.writer.style)
            }
            _ => self.concat(bytes, None),
        }
    }

    /// A concatenation, each part a value or a range.
    fn concat(&self, first: &[u8], last: Option<&[u8]>) -> String {
        let mut texts = Vec::new();
        let (mut first, mut last) = (first, last.unwrap_or(first));
        for part in &self.key.parts {
            let len = part.bits.div_ceil(8) as usize;
            let from = first.get(..len).unwrap_or(first);
            let to = last.get(..len).unwrap_or(last);
            texts.push(if from == to {
                self.one(*part, from, part.bits)
            } else {
                self.range(*part, from, to, part.bits, part.ty.has_prefixes())
            });
            first = first.get(len.next_multiple_of(4)..).unwrap_or(&[]);
            last = last.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        texts.join(" . ")
    }

    /// A range of values, as a prefix or a wildcard where it is one.
    fn range(&self, part: Part, from: &[u8], to: &[u8], bits: u32, prefixes: bool) -> String {
        let (Some(low), Some(high)) = (Sym::of_bytes(from), Sym::of_bytes(to)) else {
            return format!("{}-{}", hex(from), hex(to));
        };
        let settle = |sym: Sym| sym.typed(part.ty, part.order).settled();
        if part.ty.base() == Base::Text {
            return wildcard(from, to, bits)
                .unwrap_or_else(|| format!("{}-{}", self.one(part, from, bits), self.one(part, to, bits)));
        }
        let (low, high) = (settle(low), settle(high));
        if let (Some(a), Some(b)) = (low.number(), high.number()) {
            if a == b {
                return low.write(self.writer);
            }
            if prefixes && let Some(len) = prefix_len(a, b, bits) {
                return format!("{}/{len}", low.write(self.writer));
            }
        }
        let range = Kind::Range(Box::new(low), Box::new(high));
        Sym::new(range, part.ty, Order::Network, bits).write(self.writer)
    }

    /// Intervals, from the starts and ends that the kernel keeps.
    fn intervals(&mut self, part: Part, entries: &[Entry]) {
        let bits = self.set.key_len.saturating_mul(8);
        let mut entries = entries.iter().peekable();
        while let Some(entry) = entries.next() {
            if entry.flags() & INTERVAL_END != 0 {
                continue;
            }
            let low = sym::number(entry.key);
            let high = match entries.peek() {
                Some(next) => sym::number(next.key).wrapping_sub(1),
                None if bits >= 128 => u128::MAX,
                None => (1 << bits) - 1,
            };
            let text = self.interval(part, low, high, bits);
            self.push(text, entry);
        }
    }

    /// One interval; its ends are in network order whatever the type.
    fn interval(&self, part: Part, low: u128, high: u128, bits: u32) -> String {
        let (low, high) = (low >> self.shift.min(127), high >> self.shift.min(127));
        let bits = bits.saturating_sub(self.shift);
        let value = |number: u128| Sym::constant(number, bits).typed(part.ty, Order::Network);
        if low == high {
            return value(low).settled().write(self.writer);
        }
        if part.ty.base() == Base::Text {
            let bytes = |number: u128| super::types::bytes(number, bits);
            if let Some(text) = wildcard(&bytes(low), &bytes(high), bits) {
                return text;
            }
        }
        if part.ty.has_prefixes()
            && let Some(len) = prefix_len(low, high, bits)
        {
            return format!("{}/{len}", value(low).write(self.writer));
        }
        let range = Kind::Range(Box::new(value(low)), Box::new(value(high)));
        Sym::new(range, part.ty, Order::Network, bits).write(self.writer)
    }
}

/// `"eth*"`, if the range is all names that begin so.
fn wildcard(from: &[u8], to: &[u8], bits: u32) -> Option<String> {
    let len = prefix_len(sym::number(from), sym::number(to), bits)?;
    let front = from.get(..(len / 8) as usize)?;
    (len % 8 == 0 && !front.is_empty()).then(|| format!("\"{}*\"", clean(&String::from_utf8_lossy(front))))
}

/// Bytes that are too long for a number.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
