//! Expressions that the ruleset keeps as bytes: those that nft writes are read here, attribute by attribute.

use super::clean;
use super::rule::Walk;
use super::sym::{self, Exthdr, Kind, Sym};
use super::types::{Order, Ty};
use crate::ruleset::{Reg, TableFamily};
use std::fmt::Write as _;

/// Attributes of an expression: type and value, nested ones as they are.
pub(super) struct Attributes<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Attributes<'a> {
    pub(super) fn read(mut bytes: &'a [u8]) -> Attributes<'a> {
        let mut list = Vec::new();
        while let [a, b, c, d, ..] = *bytes {
            let len = usize::from(u16::from_ne_bytes([a, b]));
            // The two highest bits say nested and network order.
            let kind = u16::from_ne_bytes([c, d]) & 0x3fff;
            let Some(value) = bytes.get(4..len) else { break };
            list.push((kind, value));
            bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Attributes(list)
    }

    pub(super) fn bytes(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.iter().find(|(k, _)| *k == kind).map(|(_, value)| *value)
    }

    /// A number of any width, in network order.
    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        let bytes = self.bytes(kind).filter(|bytes| bytes.len() <= 4)?;
        u32::try_from(sym::number(bytes)).ok()
    }

    /// A number of 4 bytes that the kernel writes in its own order.
    pub(super) fn native(&self, kind: u16) -> Option<u32> {
        self.bytes(kind)?.try_into().ok().map(u32::from_ne_bytes)
    }

    pub(super) fn wide(&self, kind: u16) -> Option<u64> {
        let bytes = self.bytes(kind).filter(|bytes| bytes.len() <= 8)?;
        u64::try_from(sym::number(bytes)).ok()
    }

    pub(super) fn text(&self, kind: u16) -> Option<String> {
        let bytes = self.bytes(kind)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Some(clean(&String::from_utf8_lossy(&bytes[..end])))
    }

    /// A register: four of 16 bytes, or sixteen of 4.
    fn reg(&self, kind: u16) -> Option<Reg> {
        let number = u8::try_from(self.number(kind)?).ok()?;
        match number {
            1..=4 => Some(Reg((number - 1) * 4)),
            8..=23 => Some(Reg(number - 8)),
            _ => None,
        }
    }
}

/// A property of the socket.
pub(super) fn socket(key: u32, level: u32) -> Option<Sym> {
    let (text, ty, bits) = match key {
        0 => ("socket transparent".to_owned(), Ty::Integer, 8),
        1 => ("socket mark".to_owned(), Ty::Mark, 32),
        2 => ("socket wildcard".to_owned(), Ty::Integer, 8),
        3 => (format!("socket cgroupv2 level {level}"), Ty::Cgroup2, 64),
        _ => return None,
    };
    Some(Sym::new(Kind::Written(text), ty, Order::Host, bits))
}

/// A number generator.
pub(super) fn numgen(kind: u32, modulus: u32, offset: u32) -> Sym {
    let word = match kind {
        0 => "inc",
        1 => "random",
        _ => "[unknown numgen]",
    };
    let text = format!("numgen {word} {}", modulo(modulus, None, offset));
    Sym::new(Kind::Written(text), Ty::Integer, Order::Host, 32)
}

/// The operating system that a SYN looks like.
pub(super) fn fingerprint(ttl: u32, flags: u32) -> Sym {
    let ttl = match ttl {
        1 => "ttl loose ",
        2 => "ttl skip ",
        _ => "",
    };
    let what = if flags & 1 == 1 { "version" } else { "name" };
    Sym::new(Kind::Written(format!("osf {ttl}{what}")), Ty::Text, Order::Host, 128)
}

/// A property of the transformation by which packets are encrypted.
pub(super) fn ipsec(key: u32, direction: u32, level: u32) -> Option<Sym> {
    let (word, ty, bits, order) = match key {
        1 => ("ip daddr", Ty::Ip4, 32, Order::Network),
        2 => ("ip6 daddr", Ty::Ip6, 128, Order::Network),
        3 => ("ip saddr", Ty::Ip4, 32, Order::Network),
        4 => ("ip6 saddr", Ty::Ip6, 128, Order::Network),
        5 => ("reqid", Ty::Integer, 32, Order::Host),
        6 => ("spi", Ty::Integer, 32, Order::Network),
        _ => return None,
    };
    let direction = ["in", "out"].get(direction as usize)?;
    let level = if level == 0 { String::new() } else { format!(" spnum {level}") };
    let kind = Kind::Written(format!("ipsec {direction}{level} {word}"));
    Some(Sym::new(kind, ty, order, bits))
}

fn modulo(modulus: u32, seed: Option<u32>, offset: u32) -> String {
    let mut text = format!("mod {modulus}");
    if let Some(seed) = seed {
        let _ = write!(text, " seed 0x{seed:x}");
    }
    if offset != 0 {
        let _ = write!(text, " offset {offset}");
    }
    text
}

impl Walk<'_> {
    /// Reads an expression by its name; none if nft's words for it are not known here.
    pub(super) fn foreign(&mut self, name: &str, data: &[u8]) -> Option<()> {
        let attributes = Attributes::read(data);
        match name {
            "socket" => {
                let sym = socket(attributes.number(1)?, attributes.number(3).unwrap_or(0))?;
                self.load(attributes.reg(2)?, sym)
            }
            "numgen" => {
                let offset = attributes.number(4).unwrap_or(0);
                let sym = numgen(attributes.number(3)?, attributes.number(2)?, offset);
                self.load(attributes.reg(1)?, sym)
            }
            "hash" => self.hash(&attributes),
            "osf" => {
                let (ttl, flags) = (attributes.number(2).unwrap_or(0), attributes.number(3).unwrap_or(0));
                self.load(attributes.reg(1)?, fingerprint(ttl, flags))
            }
            "xfrm" => {
                let direction = attributes.number(3).unwrap_or(0);
                let sym = ipsec(attributes.number(2)?, direction, attributes.number(4).unwrap_or(0))?;
                self.load(attributes.reg(1)?, sym)
            }
            "exthdr" | "tcpopt" => self.write_option(&attributes),
            "queue" => self.queue(&attributes),
            "tproxy" => self.tproxy(&attributes),
            "dup" => self.duplicate(&attributes),
            "fwd" => self.forward(&attributes),
            "synproxy" => {
                self.statement(format!("synproxy{}", synproxy(&attributes)));
                Some(())
            }
            "flow_offload" => {
                self.statement(format!("flow add @{}", attributes.text(1)?));
                Some(())
            }
            _ => None,
        }
    }

    fn hash(&mut self, attributes: &Attributes) -> Option<()> {
        let offset = attributes.number(6).unwrap_or(0);
        let rest = modulo(attributes.number(4)?, attributes.number(5), offset);
        let kind = if attributes.number(7) == Some(1) {
            Kind::Written(format!("symhash {rest}"))
        } else {
            let key = self.values(attributes.reg(1)?, attributes.number(3)?.checked_mul(8)?)?;
            Kind::Hash(Box::new(key), rest)
        };
        self.load(attributes.reg(2)?, Sym::new(kind, Ty::Integer, Order::Host, 32))
    }

    /// A TCP option that is written or removed; reading one is an expression of the ruleset.
    fn write_option(&mut self, attributes: &Attributes) -> Option<()> {
        if attributes.bytes(1).is_some() {
            return None;
        }
        let reg = attributes.reg(7);
        let place = Exthdr {
            op: attributes.number(6).unwrap_or(0),
            number: u8::try_from(attributes.number(2)?).ok()?,
            offset: attributes.number(3).unwrap_or(0).checked_mul(8)?,
            present: reg.is_none(),
        };
        let bits = attributes.number(4).unwrap_or(0).checked_mul(8)?;
        let option = sym::extension(place, bits);
        let target = self.text_of(&option);
        match reg {
            Some(reg) => {
                let value = self.value(reg)?.typed(option.ty, option.order);
                let value = self.draft.finish(value);
                let value = self.text_of(&value);
                self.statement(format!("{target} set {value}"));
            }
            None => self.statement(format!("reset {target}")),
        }
        Some(())
    }

    fn queue(&mut self, attributes: &Attributes) -> Option<()> {
        let flags = attributes.number(3).unwrap_or(0);
        let names: Vec<&str> = [(1, "bypass"), (2, "fanout")]
            .into_iter()
            .filter(|(flag, _)| flags & flag != 0)
            .map(|(_, name)| name)
            .collect();
        let flags = if names.is_empty() { String::new() } else { format!(" flags {}", names.join(",")) };
        let to = match attributes.reg(4) {
            Some(reg) => {
                let value = self.value(reg)?;
                let value = self.draft.finish(value);
                self.text_of(&value)
            }
            None => {
                let first = attributes.number(1).unwrap_or(0);
                match attributes.number(2).unwrap_or(1) {
                    0 | 1 => first.to_string(),
                    total => format!("{first}-{}", first.wrapping_add(total).wrapping_sub(1) & 0xffff),
                }
            }
        };
        self.statement(format!("queue{flags} to {to}"));
        Some(())
    }

    fn tproxy(&mut self, attributes: &Attributes) -> Option<()> {
        let family = attributes.number(1).unwrap_or(0);
        let word = match family {
            2 => " ip",
            10 => " ip6",
            _ => "",
        };
        let word = if self.draft.table.family == TableFamily::Inet { word } else { "" };
        let mut text = format!("tproxy{word} to");
        let address = attributes.reg(2);
        if let Some(reg) = address {
            let ty = if family == 10 { Ty::Ip6 } else { Ty::Ip4 };
            let value = self.value(reg)?.typed(ty, Order::Network);
            let value = self.draft.finish(value);
            let shown = self.text_of(&value);
            if ty == Ty::Ip6 && value.is_constant() {
                let _ = write!(text, " [{shown}]");
            } else {
                let _ = write!(text, " {shown}");
            }
        }
        if let Some(reg) = attributes.reg(3) {
            let value = self.value(reg)?.typed(Ty::Service, Order::Network);
            let space = if address.is_none() { " " } else { "" };
            let _ = write!(text, "{space}:{}", self.text_of(&value));
        }
        self.statement(text);
        Some(())
    }

    fn duplicate(&mut self, attributes: &Attributes) -> Option<()> {
        let ty = if self.draft.table.family == TableFamily::Ip6 { Ty::Ip6 } else { Ty::Ip4 };
        let address = match attributes.reg(1) {
            Some(reg) => Some(self.finished_text(reg, ty, Order::Network)?),
            None => None,
        };
        let device = match attributes.reg(2) {
            Some(reg) => Some(self.finished_text(reg, Ty::IfIndex, Order::Host)?),
            None => None,
        };
        self.statement(match (address, device) {
            (Some(to), Some(device)) => format!("dup to {to} device {device}"),
            (Some(to), None) | (None, Some(to)) => format!("dup to {to}"),
            (None, None) => "dup".to_owned(),
        });
        Some(())
    }

    fn forward(&mut self, attributes: &Attributes) -> Option<()> {
        let device = self.finished_text(attributes.reg(1)?, Ty::IfIndex, Order::Host)?;
        let text = match attributes.reg(2) {
            Some(reg) => {
                let (word, ty) = match attributes.number(3)? {
                    10 => ("ip6", Ty::Ip6),
                    _ => ("ip", Ty::Ip4),
                };
                let address = self.finished_text(reg, ty, Order::Network)?;
                format!("fwd {word} to {address} device {device}")
            }
            None => format!("fwd to {device}"),
        };
        self.statement(text);
        Some(())
    }

    fn finished_text(&mut self, reg: Reg, ty: Ty, order: Order) -> Option<String> {
        let value = self.value(reg)?.typed(ty, order);
        let value = self.draft.finish(value);
        Some(self.text_of(&value))
    }
}

/// Options of a SYN proxy.
fn synproxy(attributes: &Attributes) -> String {
    let flags = attributes.number(3).unwrap_or(0);
    let mut text = String::new();
    if flags & 1 != 0 {
        let _ = write!(text, " mss {}", attributes.number(1).unwrap_or(0));
    }
    if flags & 2 != 0 {
        let _ = write!(text, " wscale {}", attributes.number(2).unwrap_or(0));
    }
    if flags & 8 != 0 {
        text.push_str(" timestamp");
    }
    if flags & 4 != 0 {
        text.push_str(" sack-perm");
    }
    text
}
