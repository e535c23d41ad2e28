//! Which ports of containers a ruleset publishes: rules that translate the destination, as container runtimes write
//! them for nftables and through iptables. What is written otherwise is not found, and so not told.

use super::Published;
use crate::net::{Family, Proto};
use crate::ruleset::{CmpOp, Expr, Hook, MetaKey, PayloadBase, Reg, Rule, Table, TableFamily};
use crate::xt::{self, Match, Target, Xt};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// All ports that these tables publish, each once.
#[must_use]
pub fn published(tables: &[Table]) -> Vec<Published> {
    let mut all: Vec<Published> = tables
        .iter()
        // What a host redirects on its way out is no door.
        .flat_map(|table| {
            let chains = table
                .chains
                .iter()
                .filter(|chain| chain.base.as_ref().is_none_or(|base| matches!(base.hook, Hook::Prerouting)));
            chains.flat_map(|chain| &chain.rules).filter_map(|rule| of_rule(rule, table.family))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What a rule asks, and where it leads.
#[derive(Default)]
struct Seen {
    /// What registers hold that were loaded from the packet.
    loaded: BTreeMap<Reg, Asked>,
    /// Constants in registers.
    constants: BTreeMap<Reg, Vec<u8>>,
    proto: Option<Proto>,
    port: Option<u16>,
    addr: Option<IpAddr>,
    to: Option<(IpAddr, Option<u16>)>,
}

/// A part of the packet.
#[derive(Clone, Copy)]
enum Asked {
    Proto,
    Port,
    Destination,
}

fn of_rule(rule: &Rule, family: TableFamily) -> Option<Published> {
    let mut seen = Seen::default();
    for expr in &rule.exprs {
        seen.take(expr, family);
    }
    let (to, to_port) = seen.to?;
    let port = seen.port?;
    let any = match Family::of(to) {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Some(Published {
        proto: seen.proto.unwrap_or(Proto::TCP),
        port,
        to: (to, to_port.unwrap_or(port)),
        addr: seen.addr.unwrap_or(any),
    })
}

impl Seen {
    fn take(&mut self, expr: &Expr, family: TableFamily) {
        match expr {
            Expr::Meta { key: MetaKey::L4proto, dreg } => {
                self.loaded.insert(*dreg, Asked::Proto);
            }
            Expr::Payload { base, offset, len, dreg } => {
                let six = family == TableFamily::Ip6;
                let asked = match (base, offset, len) {
                    (PayloadBase::Transport, 2, 2) => Some(Asked::Port),
                    (PayloadBase::Network, 9, 1) if !six => Some(Asked::Proto),
                    (PayloadBase::Network, 6, 1) if six => Some(Asked::Proto),
                    (PayloadBase::Network, 16, 4) if !six => Some(Asked::Destination),
                    (PayloadBase::Network, 24, 16) if six => Some(Asked::Destination),
                    _ => None,
                };
                match asked {
                    Some(asked) => self.loaded.insert(*dreg, asked),
                    None => self.loaded.remove(dreg),
                };
            }
            Expr::Cmp { op: CmpOp::Eq, sreg, data } => match (self.loaded.get(sreg), data.as_slice()) {
                (Some(Asked::Proto), [number, ..]) => self.proto = Some(Proto(*number)),
                (Some(Asked::Port), [high, low]) => self.port = Some(u16::from_be_bytes([*high, *low])),
                (Some(Asked::Destination), bytes) => self.addr = address(bytes),
                _ => {}
            },
            Expr::Immediate { dreg, data } => {
                self.constants.insert(*dreg, data.clone());
            }
            Expr::Nat(nat) if !nat.source => {
                let constant = |reg: Option<Reg>| reg.and_then(|reg| self.constants.get(&reg));
                let to = constant(nat.addr.0).and_then(|bytes| address(bytes));
                let port = constant(nat.range.proto_min).and_then(|bytes| match bytes.as_slice() {
                    [high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
                    _ => None,
                });
                self.to = to.map(|to| (to, port));
            }
            other => match xt::read(other, family) {
                Some(Xt::Match(Match::Tcp(tcp))) => {
                    self.proto = Some(Proto::TCP);
                    self.port = one(tcp.ports.dest.first, tcp.ports.dest.last);
                }
                Some(Xt::Match(Match::Udp(ports))) => {
                    self.proto = Some(Proto::UDP);
                    self.port = one(ports.dest.first, ports.dest.last);
                }
                Some(Xt::Target(Target::Dnat(nat))) => {
                    self.to = nat.addrs.map(|(first, _)| (first, nat.ports.map(|(first, _)| first)));
                }
                _ => {}
            },
        }
    }
}

fn one(first: u16, last: u16) -> Option<u16> {
    (first == last).then_some(first)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
