//! Comparisons and computations on registers; loads and sets have their own files.

use super::*;
use doorward::ruleset::{Bitop, CtKey};
use doorward::trace::Stop;

fn range(op: CmpOp, from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Expr {
    Expr::Range { op, sreg: R0, from: from.into(), to: to.into() }
}

fn immediate(data: &[u8]) -> Expr {
    Expr::Immediate { dreg: R0, data: data.to_vec() }
}

fn bitwise(len: u32, op: Bitop) -> Expr {
    Expr::Bitwise { sreg: R0, dreg: R0, len, op }
}

fn mask(mask: impl Into<Vec<u8>>) -> Expr {
    let mask = mask.into();
    let xor = vec![0; mask.len()];
    bitwise(u32::try_from(mask.len()).unwrap(), Bitop::MaskXor { mask, xor })
}

/// Each comparison with a value below, equal and above.
#[test]
fn comparisons_are_of_bytes() {
    for (op, expected) in [
        (CmpOp::Eq, [false, true, false]),
        (CmpOp::Neq, [true, false, true]),
        (CmpOp::Lt, [true, false, false]),
        (CmpOp::Lte, [true, true, false]),
        (CmpOp::Gt, [false, false, true]),
        (CmpOp::Gte, [false, true, true]),
    ] {
        for (value, expected) in [[1, 255], [2, 0], [2, 1]].into_iter().zip(expected) {
            let cmp = Expr::Cmp { op, sreg: R0, data: vec![2, 0] };
            assert_eq!(matches(vec![immediate(&value), cmp], &syn()), expected, "{value:?} {op:?}");
        }
    }
}

#[test]
fn ranges_have_both_their_ends() {
    for (port, within) in [(21, false), (22, true), (80, true), (443, true), (444, false)] {
        let mut packet = syn();
        packet.transport[2..4].copy_from_slice(&u16::to_be_bytes(port));
        assert_eq!(matches(vec![dport(), range(CmpOp::Eq, [0, 22], [1, 187])], &packet), within);
        assert_eq!(matches(vec![dport(), range(CmpOp::Neq, [0, 22], [1, 187])], &packet), !within);
    }
}

#[test]
fn a_range_from_back_to_front_holds_nothing() {
    assert!(!matches(vec![dport(), range(CmpOp::Eq, [0, 60], [0, 10])], &syn()));
    assert!(matches(vec![dport(), range(CmpOp::Neq, [0, 60], [0, 10])], &syn()));
}

/// A mark is kept in the order of the machine; a range of marks needs a swap first.
#[test]
fn marks_compare_as_numbers_after_a_swap_only() {
    let packet = Packet { mark: 0x0100, ..syn() };
    let swap = Expr::Byteorder { sreg: R0, dreg: R0, op: 1, len: 4, size: 4 };
    let within = || range(CmpOp::Eq, 0xffu32.to_be_bytes(), 0x101u32.to_be_bytes());
    assert!(matches(vec![meta(MetaKey::Mark), swap, within()], &packet));
    if cfg!(target_endian = "little") {
        assert!(!matches(vec![meta(MetaKey::Mark), within()], &packet));
    }
    assert!(matches(vec![meta(MetaKey::Mark), eq(0x100u32.to_ne_bytes())], &packet));
}

#[test]
fn a_swap_takes_numbers_one_by_one() {
    if cfg!(target_endian = "big") {
        return;
    }
    for (size, swapped) in
        [(2, [2, 1, 4, 3, 6, 5, 8, 7]), (4, [4, 3, 2, 1, 8, 7, 6, 5]), (8, [8, 7, 6, 5, 4, 3, 2, 1])]
    {
        let swap = Expr::Byteorder { sreg: R0, dreg: R0, op: 0, len: 8, size };
        assert!(matches(vec![immediate(&[1, 2, 3, 4, 5, 6, 7, 8]), swap, eq(swapped)], &syn()), "{size}");
    }
}

/// Unlike a load, a swap leaves the rest of the last word as it was.
#[test]
fn a_swap_writes_its_own_bytes_only() {
    let swap = Expr::Byteorder { sreg: R0, dreg: R1, op: 0, len: 2, size: 2 };
    let before = Expr::Immediate { dreg: R1, data: vec![9, 9, 9, 9] };
    let cmp = Expr::Cmp { op: CmpOp::Eq, sreg: R1, data: vec![22, 0, 9, 9] };
    assert_eq!(matches(vec![before, dport(), swap, cmp], &syn()), cfg!(target_endian = "little"));
}

#[test]
fn a_store_clears_the_rest_of_its_last_word() {
    let full = || Expr::Immediate { dreg: R0, data: vec![255; 16] };
    let rest = [255, 255, 255, 255];
    for (rule, expected) in [
        (vec![full(), dport()], vec![0, 22, 0, 0, 255]),
        (vec![full(), meta(MetaKey::L4proto)], vec![6, 0, 0, 0, 255]),
        (vec![full(), immediate(&[1, 2, 3, 4, 5])], [&[1, 2, 3, 4, 5, 0, 0, 0][..], &rest].concat()),
        (vec![full(), load(PayloadBase::Network, 12, 8)], [198, 51, 100, 7, 192, 0, 2, 1, 255].to_vec()),
    ] {
        assert!(matches([rule, vec![eq(expected)]].concat(), &syn()));
    }
}

/// One state is a test of a bit; several in braces are a set of exact values (see the sets).
#[test]
fn a_single_state_is_a_bit() {
    let state = Expr::Ct { key: CtKey::State, dir: None, dreg: R0 };
    let rule = vec![state, mask(8u32.to_ne_bytes()), neq([0; 4])];
    assert!(matches(rule.clone(), &syn()));
    assert!(!matches(rule, &Packet { ct: Conntrack::Entry(entry(2)), ..syn() }));
}

#[test]
fn bits_are_masked_and_flipped_in_whole_words() {
    let op = Bitop::MaskXor { mask: vec![0x0f, 0xff, 0xf0], xor: vec![0, 0xff, 1] };
    let rule = vec![immediate(&[0xab, 0xcd, 0xef, 0x77]), bitwise(3, op), eq([0x0b, 0x32, 0xe1, 0])];
    assert!(matches(rule, &syn()));
}

/// Words are shifted as numbers of the machine, and carry into each other as the first were the highest.
#[test]
fn shifts_go_through_words() {
    let bytes = |words: [u32; 2]| words.map(u32::to_ne_bytes).concat();
    let value = bytes([0x1234_5678, 0x9abc_def0]);
    for (op, expected) in [
        (Bitop::Shl(8), [0x3456_789a, 0xbcde_f000]),
        (Bitop::Shr(8), [0x0012_3456, 0x789a_bcde]),
        (Bitop::Shl(0), [0x1234_5678, 0x9abc_def0]),
    ] {
        assert!(matches(vec![immediate(&value), bitwise(8, op), eq(bytes(expected))], &syn()));
    }
    let table = table(vec![vec![immediate(&value), bitwise(8, Bitop::Shl(32))]]);
    assert_eq!(end(table, &syn()), End::Stopped(Stop::Operation));
}

#[test]
fn two_registers_are_joined_bit_by_bit() {
    let second = Expr::Immediate { dreg: R1, data: vec![0x0f, 0x3c, 0, 0xff] };
    for (op, expected) in
        [(3, [0x05, 0x14, 0, 0x55]), (4, [0x5f, 0x7d, 0x55, 0xff]), (5, [0x5a, 0x69, 0x55, 0xaa])]
    {
        let op = Bitop::Other { op, sreg2: Some(R1) };
        let rule = vec![immediate(&[0x55; 4]), second.clone(), bitwise(4, op), eq(expected)];
        assert!(matches(rule, &syn()));
    }
}
