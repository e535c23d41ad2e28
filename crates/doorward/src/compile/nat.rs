//! What is translated: the `nat` chains, which see the first packet of each connection only; decides nothing.
//!
//! ```text
//! dstnat ─▶ gN_dstnat ─ addressed to this host? ─ gN_publish4/6, gN_redirect_tcp…: port ▶ end; ranges
//! srcnat ─▶ gN_srcnat ─ gN_srcnat4/6 ─ interface and source ▶ masquerade
//! ```
//!
//! Once made the base chains stay, empty if need be: deleting one ends every connection that it translated.

use super::builder::{Builder, MapTo, verdict_element};
use super::cells::{self, Place};
use super::code::{self, R0};
use super::groups::{self, Action, Said};
use crate::net::{Family, PortRange, Prefix, Proto};
use crate::resolve::model::{Nat, Peers, Rule, Scope, Traffic, Translation, Verdict as Decision, Way};
use crate::ruleset::{ChainKind, Expr, Hook, KeyPart, MetaKey, PayloadBase, Reg, Verdict};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Just before those of container runtimes: what a policy says of a port of this host comes first.
const DESTINATION_PRIORITY: i32 = -105;
const SOURCE_PRIORITY: i32 = 95;

/// Builds what the sentences need; nothing where there are none.
pub(super) fn build(builder: &mut Builder<'_>) {
    let nat = &builder.policy.nat;
    let source = nat.iter().any(|one| matches!(one.what, Translation::Masquerade { .. }));
    let destination = nat.iter().any(|one| !matches!(one.what, Translation::Masquerade { .. }));
    if destination {
        destinations(builder);
    }
    if source {
        sources(builder);
    }
}

/// A base chain and the chain of the generation behind it.
fn base(builder: &mut Builder<'_>, name: &str, hook: Hook, priority: i32) -> String {
    builder.base_of(ChainKind::Nat, name, hook, priority);
    let chain = builder.name(name);
    builder.rule(name, vec![code::goto(&chain)]);
    builder.open(&chain);
    chain
}

/// `redirect` and `publish`.
fn destinations(builder: &mut Builder<'_>) {
    let chain = base(builder, "dstnat", Hook::Prerouting, DESTINATION_PRIORITY);
    let not_ours = [code::addressed_elsewhere(), vec![code::accept()]].concat();
    builder.commented(&chain, not_ours, "built in: only what is addressed to this host is led elsewhere");
    for family in Family::BOTH {
        publish(builder, &chain, family);
    }
    for proto in [Proto::TCP, Proto::UDP, Proto::SCTP] {
        redirect(builder, &chain, proto);
    }
    builder.rule(&chain, vec![code::accept()]);
}

/// The port that a packet has before it is translated.
fn port(dreg: Reg) -> Expr {
    code::payload(PayloadBase::Transport, 2, 2, dreg)
}

fn publish(builder: &mut Builder<'_>, chain: &str, family: Family) {
    let policy = builder.policy;
    let mut ports: BTreeMap<Vec<u8>, (Vec<u8>, String)> = BTreeMap::new();
    let mut ranges: Vec<(Proto, PortRange, SocketAddr, &Nat)> = Vec::new();
    for one in policy.nat.iter().filter(|one| one.what.covers(family)) {
        let Translation::Publish { ports: said, to } = &one.what else { continue };
        let end = [Prefix::host(to.ip()).bytes(), to.port().to_be_bytes().to_vec(), vec![0, 0]].concat();
        for (proto, range) in said {
            if !cells::is_written_out(*range) {
                ranges.push((*proto, *range, *to, one));
                continue;
            }
            for number in range.first()..=range.last() {
                let [high, low] = number.to_be_bytes();
                let key = vec![proto.0, 0, 0, 0, high, low, 0, 0];
                ports.entry(key).or_insert_with(|| (end.clone(), one.origin.comment()));
            }
        }
    }
    let (number, stem, addr) = match family {
        Family::V4 => (2, "publish4", KeyPart::Addr4),
        Family::V6 => (10, "publish6", KeyPart::Addr6),
    };
    let this_family = [code::meta(MetaKey::Nfproto, R0), code::eq(vec![number])];
    let behind = Reg(addr.regs());
    if !ports.is_empty() {
        let to = MapTo { parts: &[addr, KeyPart::Port], elements: ports };
        let map = builder.map(stem, &[KeyPart::L4proto, KeyPart::Port], to);
        let mut code = this_family.to_vec();
        code.extend([code::meta(MetaKey::L4proto, R0), port(Reg(1)), code::value(&map, R0, R0)]);
        code.push(code::dnat(number, behind));
        builder.rule(chain, code);
    }
    for (proto, range, to, one) in ranges {
        let mut code = this_family.to_vec();
        code.extend(code::l4proto(proto));
        code.extend(code::port_in(range, false));
        code.extend([
            code::counter(),
            Expr::Immediate { dreg: R0, data: Prefix::host(to.ip()).bytes() },
            Expr::Immediate { dreg: behind, data: to.port().to_be_bytes().to_vec() },
            code::dnat(number, behind),
        ]);
        builder.commented(chain, code, &one.origin.comment());
    }
}

/// Only the port is translated: who addressed one of several addresses is answered by that one.
fn redirect(builder: &mut Builder<'_>, chain: &str, proto: Proto) {
    let policy = builder.policy;
    let mut ports: BTreeMap<Vec<u8>, (Vec<u8>, String)> = BTreeMap::new();
    let mut ranges: Vec<(PortRange, u16, &Nat)> = Vec::new();
    for one in &policy.nat {
        let Translation::Redirect { ports: said, to } = &one.what else { continue };
        for (_, range) in said.iter().filter(|(of, _)| *of == proto) {
            if !cells::is_written_out(*range) {
                ranges.push((*range, *to, one));
                continue;
            }
            for number in range.first()..=range.last() {
                let end = to.to_be_bytes().to_vec();
                ports.entry(number.to_be_bytes().to_vec()).or_insert_with(|| (end, one.origin.comment()));
            }
        }
    }
    if !ports.is_empty() {
        let stem = format!("redirect_{proto}");
        let to = MapTo { parts: &[KeyPart::Port], elements: ports };
        let map = builder.map(&stem, &[KeyPart::Port], to);
        let mut code = code::l4proto(proto);
        code.extend([port(R0), code::value(&map, R0, R0), code::to_port(R0)]);
        builder.rule(chain, code);
    }
    for (range, to, one) in ranges {
        let mut code = code::l4proto(proto);
        code.extend(code::port_in(range, false));
        code.push(code::counter());
        code.push(Expr::Immediate { dreg: R0, data: to.to_be_bytes().to_vec() });
        code.push(code::to_port(R0));
        builder.commented(chain, code, &one.origin.comment());
    }
}

/// `masquerade`: a shape is one lookup, as with sentences that judge.
fn sources(builder: &mut Builder<'_>) {
    let chain = base(builder, "srcnat", Hook::Postrouting, SOURCE_PRIORITY);
    let rules: Vec<Rule> = builder.policy.nat.iter().filter_map(leaving).collect();
    let mut elements = Vec::new();
    for (family, number) in [(Family::V4, 2u8), (Family::V6, 10)] {
        let place = Place { family, original: false, leaving: true, icmp: false };
        let said: Vec<Said<'_>> = rules
            .iter()
            .map(|rule| Said { rule, cells: cells::cells(rule, place, &mut builder.lists) })
            .filter(|said| !said.cells.is_empty())
            .collect();
        if said.is_empty() {
            continue;
        }
        let inner = builder.name(if family == Family::V4 { "srcnat4" } else { "srcnat6" });
        builder.open(&inner);
        let action = Action { stem: "masquerade", counted: true, code: vec![code::masquerade()] };
        groups::emit(builder, &inner, place, &said, &action);
        builder.rule(&inner, vec![code::accept()]);
        elements.push(verdict_element(vec![number], Verdict::Goto(inner)));
    }
    if !elements.is_empty() {
        let map = builder.verdict_map("srcnat_families", &[KeyPart::Nfproto], elements);
        builder.rule(&chain, vec![code::meta(MetaKey::Nfproto, R0), code::vmap(&map, R0)]);
    }
    builder.rule(&chain, vec![code::accept()]);
}

/// A masquerade as a sentence about all that leaves.
fn leaving(nat: &Nat) -> Option<Rule> {
    let Translation::Masquerade { from, on } = &nat.what else { return None };
    let from = Peers { only: Some(from.clone()), except: None };
    Some(Rule {
        origin: nat.origin.clone(),
        verdict: Decision::Allow,
        ways: vec![Way::Out],
        traffic: vec![Traffic::Any],
        scope: Scope { from, on: on.clone(), ..Scope::default() },
        limit: None,
        passive: None,
        log: false,
    })
}
