//! Any bytes in place of an expression of iptables are read without a panic.
//!
//! The first byte says whether it is a match or a target, and of which family the table is.

#![no_main]

use doorward::ruleset::{Expr, TableFamily};
use doorward::xt::{Match, Xt, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, data)) = bytes.split_first() else { return };
    let name = if first & 1 == 0 { "match" } else { "target" };
    let family = match first >> 1 & 3 {
        0 => TableFamily::Ip,
        1 => TableFamily::Ip6,
        2 => TableFamily::Inet,
        _ => TableFamily::Bridge,
    };
    match read(&Expr::Unknown { name: name.to_owned(), data: data.to_vec() }, family) {
        Some(Xt::Match(Match::U32(of))) => drop(of.holds(data)),
        Some(Xt::Match(Match::TcpMss(of))) => drop(of.contains(data)),
        Some(Xt::Match(of)) => drop((of.basis(), of.later(), of.drops())),
        Some(Xt::Target(of)) => drop((of.ends(), of.marked(1, Some(2)))),
        None => unreachable!("an expression of iptables"),
    }
});
