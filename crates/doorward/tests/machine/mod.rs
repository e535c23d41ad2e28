//! A plain machine that runs the bytecode of a table on one imagined packet, as the kernel would.

#![allow(unreachable_pub, reason = "a part of test programs")]

use doorward::meaning::{Connection, Packet, Path};
use doorward::net::{Family, Proto};
use doorward::ruleset::{
    Bitop, CmpOp, CtDir, CtKey, Data, Dynset, Element, Elements, Expr, FibResult, Hook, LookupTarget,
    MetaKey, PayloadBase, Reg, Rule, Table, Verdict, comment_of, udata_kind,
};
use std::collections::HashMap;
use std::net::IpAddr;

/// How a packet ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Accepted,
    Dropped,
    Rejected,
}

/// What happened to a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fate {
    pub end: End,
    /// The comment of the last counter that counted it.
    pub counted: Option<String>,
    /// Whether something was logged.
    pub logged: bool,
}

/// A table with its sets by key.
pub struct Machine<'a> {
    table: &'a Table,
    sets: HashMap<&'a str, HashMap<Vec<u8>, Element>>,
    /// Whether buckets of limits are empty.
    pub spent: bool,
}

/// The packet and what the kernel knows of it.
struct Facts<'a> {
    connection: &'a Connection,
    own: &'a [IpAddr],
    network: Vec<u8>,
    transport: Vec<u8>,
    mark: u32,
}

struct Run<'m, 'f> {
    machine: &'m Machine<'m>,
    facts: Facts<'f>,
    regs: [u8; 64],
    fate: Fate,
    steps: usize,
}

enum Step {
    /// The expression matched.
    On,
    /// It did not: the next rule.
    Break,
    Verdict(Verdict),
    Rejected,
}

impl<'a> Machine<'a> {
    pub fn new(table: &'a Table) -> Machine<'a> {
        let sets = table
            .sets
            .iter()
            .map(|set| {
                let elements = match &set.elements {
                    Elements::Full(list) => list.iter().map(|e| (e.key.clone(), e.clone())).collect(),
                    Elements::Plain(bytes) => bytes
                        .chunks(set.key_len as usize)
                        .map(|key| (key.to_vec(), Element::of(key.to_vec())))
                        .collect(),
                };
                (set.name.as_str(), elements)
            })
            .collect();
        Machine { table, sets, spent: false }
    }

    /// Runs the base chain that this connection's first packet meets.
    pub fn run(&self, connection: &Connection, own: &[IpAddr]) -> Fate {
        let hook = match connection.path {
            Path::In { .. } => Hook::Input,
            Path::Out { .. } => Hook::Output,
            Path::Forward { .. } => Hook::Forward,
        };
        let base = self
            .table
            .chains
            .iter()
            .find(|chain| chain.base.as_ref().is_some_and(|base| base.hook == hook))
            .expect("each hook has a base chain");
        let facts = Facts {
            connection,
            own,
            network: network_header(connection),
            transport: transport_header(connection),
            mark: 0,
        };
        let mut run = Run {
            machine: self,
            facts,
            regs: [0xa5; 64],
            fate: Fate { end: End::Accepted, counted: None, logged: false },
            steps: 0,
        };
        let end = run.chain(&base.name);
        run.fate.end = match end {
            Some(end) => end,
            // The policy of a base chain is never reached.
            None => panic!("chain {} ended without a verdict for {connection}", base.name),
        };
        run.fate
    }
}

impl Run<'_, '_> {
    fn chain(&mut self, name: &str) -> Option<End> {
        let chain = self.machine.table.chain(name).unwrap_or_else(|| panic!("no chain {name}"));
        for rule in &chain.rules {
            self.steps += 1;
            assert!(self.steps < 10_000, "endless");
            match self.rule(rule) {
                Step::On | Step::Break => {}
                Step::Rejected => return Some(End::Rejected),
                Step::Verdict(verdict) => match verdict {
                    Verdict::Accept => return Some(End::Accepted),
                    Verdict::Drop => return Some(End::Dropped),
                    Verdict::Return => return None,
                    Verdict::Goto(target) => return self.chain(&target),
                    Verdict::Jump(target) => {
                        if let Some(end) = self.chain(&target) {
                            return Some(end);
                        }
                    }
                    Verdict::Continue | Verdict::Break => {}
                    other => panic!("verdict {other:?}"),
                },
            }
        }
        None
    }

    fn rule(&mut self, rule: &Rule) -> Step {
        for expr in &rule.exprs {
            match self.step(expr, rule) {
                Step::On => {}
                other => return other,
            }
        }
        Step::On
    }

    fn get(&self, reg: Reg, len: usize) -> &[u8] {
        &self.regs[usize::from(reg.0) * 4..usize::from(reg.0) * 4 + len]
    }

    /// Stores as the kernel does: the rest of the last register is zero.
    fn put(&mut self, reg: Reg, data: &[u8]) {
        let at = usize::from(reg.0) * 4;
        let padded = data.len().div_ceil(4) * 4;
        self.regs[at..at + padded].fill(0);
        self.regs[at..at + data.len()].copy_from_slice(data);
    }

    fn load(&mut self, reg: Reg, data: Option<Vec<u8>>) -> Step {
        match data {
            Some(data) => {
                self.put(reg, &data);
                Step::On
            }
            None => Step::Break,
        }
    }

    fn step(&mut self, expr: &Expr, rule: &Rule) -> Step {
        match expr {
            Expr::Meta { key, dreg } => {
                let data = self.facts.meta(*key);
                self.load(*dreg, data)
            }
            Expr::Payload { base, offset, len, dreg } => {
                let from = match base {
                    PayloadBase::Network => &self.facts.network,
                    PayloadBase::Transport => &self.facts.transport,
                    other => panic!("payload of {other:?}"),
                };
                let data = from.get(*offset as usize..(*offset + *len) as usize).map(<[u8]>::to_vec);
                self.load(*dreg, data)
            }
            // No connection here has a routing header.
            Expr::Exthdr { .. } => Step::Break,
            Expr::Ct { key, dir, dreg } => {
                let data = self.facts.ct(*key, *dir);
                self.load(*dreg, data)
            }
            Expr::CtSet { key: CtKey::Mark, sreg, .. } => {
                self.facts.mark = u32::from_ne_bytes(self.get(*sreg, 4).try_into().expect("four bytes"));
                Step::On
            }
            Expr::Cmp { op, sreg, data } => {
                let order = self.get(*sreg, data.len()).cmp(data.as_slice());
                let matched = match op {
                    CmpOp::Eq => order.is_eq(),
                    CmpOp::Neq => order.is_ne(),
                    CmpOp::Lt => order.is_lt(),
                    CmpOp::Lte => order.is_le(),
                    CmpOp::Gt => order.is_gt(),
                    CmpOp::Gte => order.is_ge(),
                };
                if matched { Step::On } else { Step::Break }
            }
            Expr::Bitwise { sreg, dreg, len, op: Bitop::MaskXor { mask, xor } } => {
                let data: Vec<u8> = self
                    .get(*sreg, *len as usize)
                    .iter()
                    .zip(mask.iter().zip(xor))
                    .map(|(byte, (mask, xor))| byte & mask ^ xor)
                    .collect();
                self.put(*dreg, &data);
                Step::On
            }
            Expr::Fib(fib) => {
                let data = match fib.result {
                    FibResult::AddrType => {
                        let ours = self.facts.own.contains(&self.facts.connection.from)
                            || self.facts.connection.from.is_loopback();
                        Some(u32::from(if ours { 2u8 } else { 1 }).to_ne_bytes().to_vec())
                    }
                    // Here no route leads back to where a packet came from.
                    _ => Some(vec![0; 4]),
                };
                self.load(fib.dreg, data)
            }
            Expr::Lookup { set, sreg, dreg, invert } => self.lookup(set, *sreg, *dreg, *invert),
            Expr::Dynset(dynset) => self.dynset(dynset),
            Expr::Counter { .. } => {
                self.fate.counted = comment_of(udata_kind::RULE_COMMENT, &rule.udata);
                Step::On
            }
            Expr::Limit(_) => Step::On,
            Expr::Log(_) => {
                self.fate.logged = true;
                Step::On
            }
            Expr::Reject(_) => Step::Rejected,
            Expr::Verdict(verdict) => Step::Verdict(verdict.clone()),
            other => panic!("expression {other:?}"),
        }
    }

    fn lookup(&mut self, set: &str, sreg: Reg, dreg: Option<LookupTarget>, invert: bool) -> Step {
        let known = self.machine.table.set(set).unwrap_or_else(|| panic!("no set {set}"));
        let key = self.get(sreg, known.key_len as usize).to_vec();
        if set.starts_with("spent_") || set.starts_with("debt_") {
            return if self.machine.spent { Step::On } else { Step::Break };
        }
        let found = self.machine.sets[set].get(&key).cloned();
        if found.is_some() == invert {
            return Step::Break;
        }
        let Some(element) = found else { return Step::On };
        if known.exprs.iter().any(|expr| matches!(expr, Expr::Counter { .. })) {
            self.fate.counted = comment_of(udata_kind::ELEM_COMMENT, &element.udata);
        }
        match (dreg, element.data) {
            (Some(LookupTarget::Verdict), Some(Data::Verdict(verdict))) => Step::Verdict(verdict),
            (None, _) => Step::On,
            other => panic!("lookup {other:?}"),
        }
    }

    /// With tokens a limit that goes on above the rate does not match; a plain change always does.
    fn dynset(&mut self, dynset: &Dynset) -> Step {
        let limits = dynset.exprs.iter().any(|expr| matches!(expr, Expr::Limit(_)));
        if limits && !self.machine.spent { Step::Break } else { Step::On }
    }
}

impl Facts<'_> {
    fn meta(&self, key: MetaKey) -> Option<Vec<u8>> {
        let c = self.connection;
        let padded = |name: &str| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.resize(16, 0);
            bytes
        };
        let index = |name: &str| if name == "lo" { 1u32 } else { 7 }.to_ne_bytes().to_vec();
        let (arrives, leaves) = match &c.path {
            Path::In { iface, .. } => (Some(iface), None),
            Path::Out { iface, .. } => (None, Some(iface)),
            Path::Forward { iif, oif, .. } => (Some(iif), Some(oif)),
        };
        let owner = match &c.path {
            Path::Out { owner, .. } => *owner,
            _ => None,
        };
        match key {
            MetaKey::L4proto => Some(vec![c.proto().0]),
            MetaKey::Nfproto => Some(vec![if c.family() == Family::V4 { 2 } else { 10 }]),
            MetaKey::Mark => Some(vec![0; 4]),
            MetaKey::Iif => arrives.map(|name| index(name)),
            MetaKey::Oif => leaves.map(|name| index(name)),
            MetaKey::Iifname => arrives.map(|name| padded(name)),
            MetaKey::Oifname => leaves.map(|name| padded(name)),
            MetaKey::Iifkind => Some(padded("veth")),
            MetaKey::Skuid => owner.map(|owner| owner.uid.to_ne_bytes().to_vec()),
            MetaKey::Skgid => owner.map(|owner| owner.gid.to_ne_bytes().to_vec()),
            other => panic!("meta {other:?}"),
        }
    }

    fn ct(&self, key: CtKey, dir: Option<CtDir>) -> Option<Vec<u8>> {
        let c = self.connection;
        let translated = match &c.path {
            Path::In { addressed, .. } | Path::Forward { addressed, .. } => addressed.is_some(),
            Path::Out { .. } => false,
        };
        let number = |n: u32| Some(n.to_ne_bytes().to_vec());
        match (key, dir) {
            (CtKey::State, None) => number(self.state()),
            (CtKey::Status, None) => number(if translated { 0x20 } else { 0 }),
            (CtKey::Mark, None) => number(self.mark),
            (CtKey::Direction, None) => Some(vec![0]),
            (CtKey::ProtoDst, Some(CtDir::Original)) => Some(c.port().unwrap_or(0).to_be_bytes().to_vec()),
            (CtKey::SrcIp | CtKey::SrcIp6, Some(CtDir::Original)) => Some(octets(c.from)),
            (CtKey::DstIp | CtKey::DstIp6, Some(CtDir::Original)) => Some(octets(c.addressed())),
            (CtKey::Helper, None) => None,
            other => panic!("ct {other:?}"),
        }
    }

    /// New; but ICMP errors belong to something, and what neighbours say is not tracked.
    fn state(&self) -> u32 {
        const RELATED: u32 = 4;
        const NEW: u32 = 8;
        const UNTRACKED: u32 = 64;
        let Packet::Icmp { kind, .. } = self.connection.packet else { return NEW };
        match (self.connection.family(), kind) {
            (Family::V4, 3 | 11 | 12) | (Family::V6, 1..=4) => RELATED,
            (Family::V6, 130..=137 | 143) => UNTRACKED,
            _ => NEW,
        }
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

fn network_header(c: &Connection) -> Vec<u8> {
    let hops = match c.packet {
        Packet::Icmp { hops, .. } => hops,
        _ => 64,
    };
    let mut header = match c.family() {
        Family::V4 => vec![0x45, 0, 0, 40, 0, 0, 0, 0, hops, c.proto().0, 0, 0],
        Family::V6 => vec![0x60, 0, 0, 0, 0, 20, c.proto().0, hops],
    };
    header.extend(octets(c.from));
    header.extend(octets(c.to));
    header
}

fn transport_header(c: &Connection) -> Vec<u8> {
    match c.packet {
        Packet::Ports { proto, from, to, opens } => {
            let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
            header.resize(20, 0);
            header[13] = if proto == Proto::TCP && opens { 0x02 } else { 0x10 };
            header
        }
        Packet::Icmp { kind, .. } => vec![kind, 0, 0, 0, 0, 0, 0, 0],
        Packet::Other(_) => vec![0x11; 20],
    }
}
