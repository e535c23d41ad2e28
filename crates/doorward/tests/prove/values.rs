//! Loads and comparisons: fragments, names, the order of bytes.

use super::*;
use doorward::ruleset::{Fib, FibResult};
use doorward::space::{LOCAL, name_value};

/// A later fragment has no ports: whatever asks for them breaks.
#[test]
fn later_fragments_match_no_port_not_even_negated() {
    let table = rule(vec![dport(), neq([0, 22])]);
    input().accepts(table, |terms| {
        let other = terms.equals(&Field::Port, 22).negated();
        Pred::all([readable(terms), other])
    });
}

/// `tcp flags syn`, and `tcp flags { syn, ack }`.
#[test]
fn a_flag_is_a_test_of_a_bit() {
    let flags = || vec![meta(MetaKey::L4proto), eq([6]), load(PayloadBase::Transport, 13, 1)];
    let tcp = |terms: &mut Terms, flags: Pred| {
        Pred::all([readable(terms), terms.equals(&Field::Protocol, 6), flags])
    };
    let mut bit = flags();
    bit.extend([mask([2]), neq([0])]);
    input().accepts(rule(bit), |terms| {
        let flags = terms.masked(&Field::TcpFlags, 2, 2);
        tcp(terms, flags)
    });
    let mut exact = flags();
    exact.push(eq([2]));
    input().accepts(rule(exact), |terms| {
        let flags = terms.equals(&Field::TcpFlags, 2);
        tcp(terms, flags)
    });
}

fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

#[test]
fn a_name_ends_with_its_padding() {
    let table = rule(vec![meta(MetaKey::Iifname), eq(padded("eth1"))]);
    let names = ["eth1", "eth10", "eth"].map(name_value);
    let Answer { mut space, accepted, .. } =
        input().answer(&[table], |terms| Pred::any(names.map(|name| terms.equals(&Field::Iif, name))));
    for (name, held) in names.into_iter().zip([true, false, false]) {
        let packet = space.only(&|field| (*field == Field::Iif).then_some(name));
        assert_eq!(!space.and(accepted, packet).is_empty(), held, "{name:x}");
    }
}

#[test]
fn a_wildcard_is_a_comparison_of_the_first_bytes() {
    let table = rule(vec![meta(MetaKey::Iifname), eq(*b"eth")]);
    let first = name_value("eth");
    input().accepts(table, |terms| terms.within(&Field::Iif, vec![(first, first | ((1 << 104) - 1))]));
}

/// An index stands for the interface that has it now; `lo` has the same everywhere.
#[test]
fn an_index_is_a_name_as_long_as_somebody_has_it() {
    let iif = |index: u32| rule(vec![meta(MetaKey::Iif), eq(index.to_ne_bytes())]);
    let named = |name: &str| {
        let name = name_value(name);
        move |terms: &mut Terms| terms.equals(&Field::Iif, name)
    };
    let mut asked = input();
    asked.facts.interfaces.insert(7, "eth0".to_owned());
    asked.accepts(iif(7), named("eth0"));
    asked.accepts(iif(1), named("lo"));
    asked.accepts(iif(8), never);
}

/// A packet that arrives has no interface to leave by: its name is empty.
#[test]
fn what_arrives_leaves_nowhere() {
    input().accepts(rule(vec![meta(MetaKey::Oifname), eq(padded("eth0"))]), never);
    input().accepts(rule(vec![meta(MetaKey::Oifname), neq(padded("eth0"))]), always);
}

/// What a mark that a packet came with leads to; nothing else is asked.
fn accepts_mark(exprs: Vec<Expr>, mark: u32) -> bool {
    let mut terms = Terms::new(Family::V4);
    let program = Program::of(&[rule(exprs)], &[INPUT], &Facts::default(), &mut terms);
    let mut space = Space::new(terms).unwrap();
    let start = space.only(&|field| (*field == Field::MARK).then_some(mark.into()));
    let (fates, _) = program.fates(&mut space, INPUT, start, &|_| true).unwrap();
    !fates.accepted.is_empty()
}

#[test]
fn marks_are_kept_in_the_order_of_the_machine() {
    let equals = vec![meta(MetaKey::Mark), eq(0x0100u32.to_ne_bytes())];
    assert!(accepts_mark(equals.clone(), 0x0100));
    assert!(!accepts_mark(equals, 0x0001_0000));
}

#[test]
fn a_range_of_marks_needs_a_swap_first() {
    let swap = Expr::Byteorder { sreg: R0, dreg: R0, op: 1, len: 4, size: 4 };
    let within = || range(CmpOp::Eq, 0xffu32.to_be_bytes(), 0x101u32.to_be_bytes());
    for (mark, held) in [(0xfe, false), (0xff, true), (0x100, true), (0x101, true), (0x102, false)] {
        assert_eq!(accepts_mark(vec![meta(MetaKey::Mark), swap.clone(), within()], mark), held, "{mark:x}");
    }
    if cfg!(target_endian = "little") {
        assert!(!accepts_mark(vec![meta(MetaKey::Mark), within()], 0x100));
    }
}

#[test]
fn ranges_have_both_their_ends() {
    let table = |op| rule(vec![dport(), range(op, [0, 22], [0, 80])]);
    input().accepts(table(CmpOp::Eq), |terms| to_ports(terms, 22, 80));
    input().accepts(table(CmpOp::Neq), |terms| {
        let within = to_ports(terms, 22, 80);
        Pred::all([readable(terms), within.negated()])
    });
}

/// `60000:29` stands in rulesets that are in use.
#[test]
fn a_range_from_back_to_front_holds_nothing() {
    let (from, to) = (60_000u16.to_be_bytes(), 29u16.to_be_bytes());
    input().accepts(rule(vec![dport(), range(CmpOp::Eq, from, to)]), never);
    input().accepts(rule(vec![dport(), range(CmpOp::Neq, from, to)]), readable);
    let two = vec![dport(), cmp(CmpOp::Gte, from), cmp(CmpOp::Lte, to)];
    input().accepts(rule(two), never);
}

fn fib(result: FibResult, flags: u32) -> Expr {
    Expr::Fib(Fib { result, flags, dreg: R0 })
}

/// The type of an address is a number of 32 bits in the order of the machine.
#[test]
fn a_type_of_an_address_is_a_number_of_the_machine() {
    let local = u32::try_from(LOCAL).unwrap();
    let table = rule(vec![fib(FibResult::AddrType, 1), eq(local.to_ne_bytes())]);
    input().accepts(table, |terms| terms.equals(&Field::SOURCE_TYPE, LOCAL));
}

/// `fib saddr . iif oif missing` loads one byte.
#[test]
fn whether_there_is_a_route_is_one_byte() {
    const SOURCE: u32 = 1;
    const IIF: u32 = 8;
    const PRESENT: u32 = 32;
    let flags = SOURCE | IIF | PRESENT;
    let table = rule(vec![fib(FibResult::Oif, flags), eq([0])]);
    input().accepts(table, |terms| terms.masked(&Field::Fib(FibResult::Oif, flags), 0xff, 0));
}
