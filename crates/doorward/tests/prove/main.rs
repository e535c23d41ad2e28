//! The prover thinks of all packets at once what the kernel does with each, above all where intuition says otherwise.
#![allow(clippy::unwrap_used, clippy::panic)]

mod conntrack;
mod sets;
mod unknown;
mod values;
mod walk;

use doorward::net::Family;
use doorward::prove::{Facts, NotJudged, Program, Slice};
use doorward::ruleset::{
    Base, Bitop, Chain, ChainKind, CmpOp, Expr, Hook, LookupTarget, MetaKey, PayloadBase, Policy, Reg, Rule,
    Table, TableFamily, Verdict,
};
use doorward::space::{Field, Node, Pred, Space, Terms};

const R0: Reg = Reg(0);
const R1: Reg = Reg(1);

const INPUT: Slice = Slice { hook: Hook::Input, translated: false, nat: false };

/// What is asked of tables: for packets of a family, at a hook.
#[derive(Clone)]
struct Asked {
    family: Family,
    slice: Slice,
    facts: Facts,
}

/// IPv4 that arrives for this host.
fn input() -> Asked {
    Asked { family: Family::V4, slice: INPUT, facts: Facts::default() }
}

/// IPv6 that arrives for this host.
fn input6() -> Asked {
    Asked { family: Family::V6, ..input() }
}

/// The packets that a table accepts, beside those of a condition.
struct Answer {
    space: Space,
    accepted: Node,
    expected: Node,
}

impl Asked {
    fn answer(&self, tables: &[Table], expected: impl FnOnce(&mut Terms) -> Pred) -> Answer {
        let mut terms = Terms::new(self.family);
        let program = Program::of(tables, &[self.slice], &self.facts, &mut terms);
        let expected = expected(&mut terms);
        let mut space = Space::new(terms).unwrap();
        let start = space.domain();
        let (fates, _) = program.fates(&mut space, self.slice, start, &|_| true).unwrap();
        // Marks may have changed on the way: what counts is with which the packet came, and no test asks for it.
        let accepted = space.exists(fates.accepted, &is_mark);
        let expected = space.node(&expected);
        let expected = space.and(expected, start);
        Answer { space, accepted, expected }
    }

    /// The packets that are accepted are exactly those of the condition.
    fn accepts(&self, table: Table, expected: impl FnOnce(&mut Terms) -> Pred) {
        self.all_accept(&[table], expected);
    }

    /// The same for several tables.
    fn all_accept(&self, tables: &[Table], expected: impl FnOnce(&mut Terms) -> Pred) {
        let Answer { mut space, accepted, expected } = self.answer(tables, expected);
        let more = space.minus(accepted, expected);
        assert!(more.is_empty(), "accepts as well: {:?}", space.point(more));
        let less = space.minus(expected, accepted);
        assert!(less.is_empty(), "does not accept: {:?}", space.point(less));
    }

    /// The packets of the condition are accepted if what nobody knows is so, and none whatever it is.
    fn may_accept(&self, table: Table, expected: impl FnOnce(&mut Terms) -> Pred) {
        let Answer { mut space, accepted, expected } = self.answer(&[table], expected);
        let possibly = space.exists(accepted, &Field::is_unknown);
        assert!(space.xor(possibly, expected).is_empty(), "possibly accepted");
        let certainly = space.for_all(accepted, &Field::is_unknown);
        let certainly = space.and(certainly, expected);
        assert!(certainly.is_empty(), "certainly accepted");
    }
}

fn is_mark(field: &Field) -> bool {
    *field == Field::MARK
}

/// Why tables are not judged.
fn not_judged(table: Table) -> NotJudged {
    let mut terms = Terms::new(Family::V4);
    let program = Program::of(&[table], &[INPUT], &Facts::default(), &mut terms);
    let mut space = Space::new(terms).unwrap();
    let start = space.domain();
    program.fates(&mut space, INPUT, start, &|_| true).unwrap_err()
}

/// All packets.
fn always(_: &mut Terms) -> Pred {
    Pred::Const(true)
}

/// No packet.
fn never(_: &mut Terms) -> Pred {
    Pred::Const(false)
}

/// Packets whose transport header can be read.
fn readable(terms: &mut Terms) -> Pred {
    terms.flag(&Field::LaterFragment).negated()
}

/// Packets to ports, which can be read.
fn to_ports(terms: &mut Terms, first: u16, last: u16) -> Pred {
    let port = terms.within(&Field::Port, vec![(first.into(), last.into())]);
    Pred::all([readable(terms), port])
}

fn to_port(port: u16) -> impl FnOnce(&mut Terms) -> Pred {
    move |terms| to_ports(terms, port, port)
}

fn not_to_port(port: u16) -> impl FnOnce(&mut Terms) -> Pred {
    move |terms| to_ports(terms, port, port).negated()
}

/// A table whose input chain drops what no rule decides.
fn table(rules: Vec<Vec<Expr>>) -> Table {
    let mut table = Table::new(TableFamily::Inet, "t");
    table.chains.push(chain_at("input", Hook::Input, 0, Policy::Drop, rules));
    table
}

/// The same, with chains that it can call.
fn with_chains(rules: Vec<Vec<Expr>>, chains: Vec<Chain>) -> Table {
    let mut table = table(rules);
    table.chains.extend(chains);
    table
}

/// A table whose only rule accepts what these expressions let go on.
fn rule(mut exprs: Vec<Expr>) -> Table {
    exprs.push(accept());
    table(vec![exprs])
}

fn chain_at(name: &str, hook: Hook, priority: i32, policy: Policy, rules: Vec<Vec<Expr>>) -> Chain {
    let base = Base { kind: ChainKind::Filter, hook, priority, policy, devices: Vec::new() };
    Chain { base: Some(base), ..chain(name, rules) }
}

fn chain(name: &str, rules: Vec<Vec<Expr>>) -> Chain {
    Chain { rules: rules.into_iter().map(Rule::new).collect(), ..Chain::regular(name) }
}

fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

fn drop() -> Expr {
    Expr::Verdict(Verdict::Drop)
}

fn back() -> Expr {
    Expr::Verdict(Verdict::Return)
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

fn cmp(op: CmpOp, data: impl Into<Vec<u8>>) -> Expr {
    Expr::Cmp { op, sreg: R0, data: data.into() }
}

fn eq(data: impl Into<Vec<u8>>) -> Expr {
    cmp(CmpOp::Eq, data)
}

fn neq(data: impl Into<Vec<u8>>) -> Expr {
    cmp(CmpOp::Neq, data)
}

fn range(op: CmpOp, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Expr {
    Expr::Range { op, sreg: R0, from: from.into(), to: to.into() }
}

fn mask(mask: impl Into<Vec<u8>>) -> Expr {
    let mask = mask.into();
    let (len, xor) = (u32::try_from(mask.len()).unwrap(), vec![0; mask.len()]);
    Expr::Bitwise { sreg: R0, dreg: R0, len, op: Bitop::MaskXor { mask, xor } }
}

fn immediate(data: impl Into<Vec<u8>>) -> Expr {
    Expr::Immediate { dreg: R0, data: data.into() }
}

fn lookup(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg: None, invert: false }
}

fn without(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg: None, invert: true }
}

fn vmap(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg: Some(LookupTarget::Verdict), invert: false }
}
