//! The plain machine does what the kernel does, above all where intuition says otherwise.
#![allow(clippy::unwrap_used, clippy::panic)]

mod extensions;
mod packets;
mod random;
mod sets;
mod unknown;
mod values;
mod walk;

use doorward::net::Family;
use doorward::ruleset::{
    Base, Chain, ChainKind, CmpOp, Expr, Hook, LookupTarget, MetaKey, PayloadBase, Policy, Reg, Rule, Set,
    Table, TableFamily, Verdict,
};
use doorward::trace::{self, Conntrack, Device, End, Entry, Packet, Trace, Tuple, Unknown};

const R0: Reg = Reg(0);
const R1: Reg = Reg(1);

/// A bare SYN to port 22, as the input hook meets it.
fn syn() -> Packet {
    let mut network = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    network.extend([198, 51, 100, 7, 192, 0, 2, 1]);
    let mut transport = vec![0x9c, 0x40, 0, 22];
    transport.resize(20, 0);
    (transport[12], transport[13]) = (0x50, 2);
    Packet {
        hook: Hook::Input,
        family: Family::V4,
        iif: Some(device("eth0", 7)),
        oif: None,
        link: Vec::new(),
        network,
        transport,
        l4proto: 6,
        later_fragment: false,
        extensions: Vec::new(),
        mark: 0,
        owner: None,
        ct: Conntrack::Entry(entry(8)),
        fib: Vec::new(),
    }
}

/// The same over IPv6.
fn syn6() -> Packet {
    let mut network = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
    network.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    network.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    Packet { family: Family::V6, network, ..syn() }
}

fn device(name: &str, index: u32) -> Device {
    Device { name: name.to_owned(), index, kind: None, group: None }
}

fn entry(state: u32) -> Entry {
    let tuple = |source: &str, destination: &str, source_port, destination_port| Tuple {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        source_port,
        destination_port,
    };
    Entry {
        state,
        status: 0,
        direction: 0,
        mark: 0,
        helper: None,
        original: tuple("198.51.100.7", "203.0.113.9", 40_000, 2222),
        reply: tuple("192.0.2.1", "198.51.100.7", 22, 40_000),
    }
}

/// A table whose input chain drops what no rule decides.
fn table(rules: Vec<Vec<Expr>>) -> Table {
    let mut table = Table::new(TableFamily::Inet, "t");
    table.chains.push(chain_at("input", Hook::Input, 0, Policy::Drop, rules));
    table
}

fn chain_at(name: &str, hook: Hook, priority: i32, policy: Policy, rules: Vec<Vec<Expr>>) -> Chain {
    let base = Base { kind: ChainKind::Filter, hook, priority, policy, devices: Vec::new() };
    Chain { base: Some(base), ..chain(name, rules) }
}

fn chain(name: &str, rules: Vec<Vec<Expr>>) -> Chain {
    Chain { rules: rules.into_iter().map(Rule::new).collect(), ..Chain::regular(name) }
}

/// Where nothing may be asked.
fn nothing(what: &Unknown) -> bool {
    panic!("asked {what:?}")
}

fn run<'a>(tables: &'a [Table], packet: &Packet) -> Trace<'a> {
    trace::hook(tables, packet, &mut nothing)
}

fn end(table: Table, packet: &Packet) -> End {
    run(&[table], packet).end
}

/// Whether a rule of these expressions runs to its end.
fn matches(mut exprs: Vec<Expr>, packet: &Packet) -> bool {
    exprs.push(accept());
    end(table(vec![exprs]), packet) == End::Accepted
}

/// Whether a rule that looks into this set runs to its end.
fn finds(set: Set, mut exprs: Vec<Expr>, packet: &Packet) -> bool {
    exprs.push(accept());
    let mut table = table(vec![exprs]);
    table.sets.push(set);
    end(table, packet) == End::Accepted
}

/// A match or target of iptables, as the kernel dumps it.
fn extension(kind: &str, name: &str, revision: u32, info: &[u8]) -> Expr {
    let mut data = Vec::new();
    let name = [name.as_bytes(), &[0]].concat();
    for (number, payload) in [(1u16, name.as_slice()), (2, &revision.to_be_bytes()), (3, info)] {
        data.extend(u16::try_from(payload.len() + 4).unwrap().to_ne_bytes());
        data.extend(number.to_ne_bytes());
        data.extend(payload);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    Expr::Unknown { name: kind.to_owned(), data }
}

fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

fn drop() -> Expr {
    Expr::Verdict(Verdict::Drop)
}

fn jump(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Jump(chain.to_owned()))
}

fn goto(chain: &str) -> Expr {
    Expr::Verdict(Verdict::Goto(chain.to_owned()))
}

fn meta(key: MetaKey) -> Expr {
    Expr::Meta { key, dreg: R0 }
}

fn load(base: PayloadBase, offset: u32, len: u32) -> Expr {
    Expr::Payload { base, offset, len, dreg: R0 }
}

fn dport() -> Expr {
    load(PayloadBase::Transport, 2, 2)
}

fn eq(data: impl Into<Vec<u8>>) -> Expr {
    Expr::Cmp { op: CmpOp::Eq, sreg: R0, data: data.into() }
}

fn neq(data: impl Into<Vec<u8>>) -> Expr {
    Expr::Cmp { op: CmpOp::Neq, sreg: R0, data: data.into() }
}

fn lookup(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg: None, invert: false }
}

fn vmap(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg: Some(LookupTarget::Verdict), invert: false }
}
