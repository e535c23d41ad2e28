//! Stateful objects with names; knows no rule.

use super::foreign::Attributes;
use super::types::{Ty, duration};
use super::{Style, clean, statement};
use crate::ruleset::{Object, ObjectKind, comment_of};

/// Comment of an object (`NFTNL_UDATA_OBJ_COMMENT`).
const OBJECT_COMMENT: u8 = 0;

/// Writes an object; notes what could not be written.
pub(super) fn write(object: &Object, style: &Style, notes: &mut Vec<String>) -> String {
    let name = clean(&object.name);
    let number = object.kind.number();
    let body = statement::object_kind(number).zip(lines(&object.kind, style));
    let Some((kind, lines)) = body else {
        notes.push(format!("object {name}: unknown kind {number}"));
        return format!("\t# object {name} is of the unknown kind {number}\n");
    };
    let comment = comment_of(OBJECT_COMMENT, &object.udata);
    let comment = comment.map(|text| format!("comment \"{}\"", clean(&text)));
    let all: Vec<String> = comment.into_iter().chain(lines).collect();
    format!("\t{kind} {name} {{\n\t\t{}\n\t}}\n", all.join("\n\t\t"))
}

fn lines(kind: &ObjectKind, style: &Style) -> Option<Vec<String>> {
    let protocol = |number: u32| Ty::Proto.write(u128::from(number), 8, false, style);
    Some(match kind {
        ObjectKind::Counter { packets, bytes } => vec![format!("packets {packets} bytes {bytes}")],
        ObjectKind::CtHelper { helper, l3proto, l4proto } => vec![
            format!("type \"{}\" protocol {}", clean(helper), protocol(u32::from(*l4proto))),
            format!("l3proto {}", family(u32::from(*l3proto))),
        ],
        ObjectKind::Limit(limit) => vec![statement::rate(limit)],
        ObjectKind::Other { number, data } => {
            let attributes = Attributes::read(data);
            match number {
                2 => {
                    let used = attributes.wide(4).unwrap_or(0);
                    let flags = attributes.number(2).unwrap_or(0);
                    vec![statement::quota(attributes.wide(1)?, used, flags, false)]
                }
                7 => timeout_lines(&attributes, style)?,
                8 => vec![format!("\"{}\"", attributes.text(1)?)],
                9 => vec![
                    format!("protocol {}", protocol(attributes.number(2)?)),
                    format!("dport {}", attributes.number(3)?),
                    format!("timeout {}", duration(u64::from(attributes.native(4)?))),
                    format!("size {}", attributes.number(5)?),
                    format!("l3proto {}", family(attributes.number(1)?)),
                ],
                10 => synproxy_lines(&attributes),
                _ => return None,
            }
        }
    })
}

fn family(number: u32) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => "unknown",
    }
}

/// Timeouts by state of the connection; nft leaves out the usual ones.
fn timeout_lines(attributes: &Attributes, style: &Style) -> Option<Vec<String>> {
    const TCP: &[(&str, u32)] = &[
        ("syn_sent", 120),
        ("syn_recv", 60),
        ("established", 432_000),
        ("fin_wait", 120),
        ("close_wait", 60),
        ("last_ack", 30),
        ("time_wait", 120),
        ("close", 10),
        ("syn_sent2", 120),
        ("retrans", 300),
        ("unack", 300),
    ];
    const UDP: &[(&str, u32)] = &[("unreplied", 30), ("replied", 120)];
    let protocol = attributes.number(2)?;
    let states = match protocol {
        6 => TCP,
        17 => UDP,
        _ => return None,
    };
    let seconds = Attributes::read(attributes.bytes(3)?);
    let changed: Vec<String> = (1..)
        .zip(states)
        .filter_map(|(number, (name, usual))| {
            let seconds = seconds.number(number).filter(|seconds| seconds != usual)?;
            Some(format!("{name} : {seconds}"))
        })
        .collect();
    Some(vec![
        format!("protocol {}", Ty::Proto.write(u128::from(protocol), 8, false, style)),
        format!("l3proto {}", family(attributes.number(1)?)),
        format!("policy = {{ {} }}", changed.join(", ")),
    ])
}

/// Options of a SYN proxy, one a line; nft sets a space between the last two even where one is missing.
fn synproxy_lines(attributes: &Attributes) -> Vec<String> {
    const MSS: u32 = 1;
    const WSCALE: u32 = 2;
    const SACK: u32 = 4;
    const TIMESTAMP: u32 = 8;
    let flags = attributes.number(3).unwrap_or(0);
    let mut lines = Vec::new();
    if flags & MSS != 0 {
        lines.push(format!("mss {}", attributes.number(1).unwrap_or(0)));
    }
    if flags & WSCALE != 0 {
        lines.push(format!("wscale {}", attributes.number(2).unwrap_or(0)));
    }
    if flags & (SACK | TIMESTAMP) != 0 {
        let timestamp = if flags & TIMESTAMP != 0 { "timestamp" } else { "" };
        let sack = if flags & SACK != 0 { "sack-perm" } else { "" };
        lines.push(format!("{timestamp} {sack}"));
    }
    lines
}
