//! Whatever is in a ruleset and whatever is in a packet, the machine ends and does not panic; asks not how.

use super::*;
use doorward::ruleset::{
    Bitop, CtDir, CtKey, Data, DataType, Dynset, DynsetOp, Element, Elements, Fib, FibResult, LookupTarget,
    NatRange, set_flags,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn reg() -> impl Strategy<Value = Reg> {
    prop_oneof![9 => 0u8..6, 1 => any::<u8>()].prop_map(Reg)
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 0u32..20, 1 => any::<u32>()]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(0u8..4, 0..20)
}

fn verdict() -> impl Strategy<Value = Verdict> {
    select(vec![
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Continue,
        Verdict::Break,
        Verdict::Return,
        Verdict::Jump("c".to_owned()),
        Verdict::Goto("c".to_owned()),
        Verdict::Jump("nowhere".to_owned()),
        Verdict::Queue,
        Verdict::Other(4),
    ])
}

fn loads() -> impl Strategy<Value = Expr> {
    let base = (0u32..5).prop_map(|base| match base {
        0 => PayloadBase::Link,
        1 => PayloadBase::Network,
        2 => PayloadBase::Transport,
        3 => PayloadBase::Inner,
        other => PayloadBase::Other(other),
    });
    let dir = select(vec![None, Some(CtDir::Original), Some(CtDir::Reply)]);
    prop_oneof![
        (0u32..40, reg()).prop_map(|(key, dreg)| Expr::Meta { key: MetaKey::from_number(key), dreg }),
        (0u32..40, reg()).prop_map(|(key, sreg)| Expr::MetaSet { key: MetaKey::from_number(key), sreg }),
        (0u32..30, dir, reg()).prop_map(|(key, dir, dreg)| Expr::Ct {
            key: CtKey::from_number(key),
            dir,
            dreg
        }),
        (base.clone(), size(), size(), reg()).prop_map(|(base, offset, len, dreg)| Expr::Payload {
            base,
            offset,
            len,
            dreg
        }),
        (base, size(), size(), reg()).prop_map(|(base, offset, len, sreg)| Expr::PayloadSet {
            base,
            offset,
            len,
            sreg,
            csum_type: 0,
            csum_offset: 0,
            csum_flags: 0
        }),
        (any::<u8>(), size(), size(), 0u32..2, 0u32..6, reg()).prop_map(
            |(header, offset, len, flags, op, dreg)| Expr::Exthdr { header, offset, len, flags, op, dreg }
        ),
        (select(vec![FibResult::Oif, FibResult::Oifname, FibResult::Other(9)]), 0u32..64, reg())
            .prop_map(|(result, flags, dreg)| Expr::Fib(Fib { result, flags, dreg })),
        (reg(), bytes()).prop_map(|(dreg, data)| Expr::Immediate { dreg, data }),
    ]
}

fn others() -> impl Strategy<Value = Expr> {
    let cmp_op = || select(vec![CmpOp::Eq, CmpOp::Neq, CmpOp::Lt, CmpOp::Gte]);
    let bitop = prop_oneof![
        (bytes(), bytes()).prop_map(|(mask, xor)| Bitop::MaskXor { mask, xor }),
        size().prop_map(Bitop::Shl),
        size().prop_map(Bitop::Shr),
        (0u32..8, prop::option::of(reg())).prop_map(|(op, sreg2)| Bitop::Other { op, sreg2 }),
    ];
    let set = || select(vec!["exact", "edges", "boxes", "map", "none"]).prop_map(str::to_owned);
    let target = prop_oneof![
        Just(None),
        Just(Some(LookupTarget::Verdict)),
        reg().prop_map(|reg| Some(LookupTarget::Value(reg)))
    ];
    let op = select(vec![DynsetOp::Add, DynsetOp::Update, DynsetOp::Delete, DynsetOp::Other(7)]);
    prop_oneof![
        (cmp_op(), reg(), bytes()).prop_map(|(op, sreg, data)| Expr::Cmp { op, sreg, data }),
        (cmp_op(), reg(), bytes(), bytes()).prop_map(|(op, sreg, from, to)| Expr::Range {
            op,
            sreg,
            from,
            to
        }),
        (reg(), reg(), size(), bitop).prop_map(|(sreg, dreg, len, op)| Expr::Bitwise { sreg, dreg, len, op }),
        (reg(), reg(), size(), select(vec![0, 2, 3, 4, 8, 16]))
            .prop_map(|(sreg, dreg, len, size)| Expr::Byteorder { sreg, dreg, op: 0, len, size }),
        (set(), reg(), target, any::<bool>()).prop_map(|(set, sreg, dreg, invert)| Expr::Lookup {
            set,
            sreg,
            dreg,
            invert
        }),
        (set(), reg()).prop_map(|(set, sreg)| Expr::ObjrefMap { sreg, set }),
        (set(), op, reg(), prop::option::of(reg()), any::<bool>()).prop_map(
            |(set, op, key, data, invert)| Expr::Dynset(Dynset {
                set,
                op,
                key,
                data,
                timeout: None,
                invert,
                exprs: vec![]
            })
        ),
        verdict().prop_map(Expr::Verdict),
        bytes().prop_map(|data| Expr::Unknown { name: "target".to_owned(), data }),
        Just(Expr::Masq(NatRange::default())),
        Just(Expr::Quota { bytes: 0, consumed: 0, flags: 0 }),
    ]
}

fn elements() -> impl Strategy<Value = Elements> {
    let data = prop_oneof![
        Just(None),
        verdict().prop_map(|verdict| Some(Data::Verdict(verdict))),
        bytes().prop_map(|value| Some(Data::Value(value)))
    ];
    let element = (bytes(), prop::option::of(bytes()), data, 0u32..4)
        .prop_map(|(key, key_end, data, flags)| Element { key_end, data, flags, ..Element::of(key) });
    prop_oneof![vec(element, 0..6).prop_map(Elements::Full), bytes().prop_map(Elements::Plain)]
}

fn sets() -> impl Strategy<Value = Vec<Set>> {
    let one = |name: &'static str, flags: u32, data: Option<DataType>| {
        (size(), vec(size(), 0..3), elements()).prop_map(move |(key_len, key_parts, elements)| Set {
            flags,
            key_len,
            key_parts,
            data,
            elements,
            ..Set::over(name, &[])
        })
    };
    (
        one("exact", set_flags::EVAL, None),
        one("edges", set_flags::INTERVAL, Some(DataType::Value { kind: 0, len: 8 })),
        one("boxes", set_flags::INTERVAL | set_flags::CONCAT, None),
        one("map", set_flags::MAP, Some(DataType::Verdict)),
    )
        .prop_map(|(a, b, c, d)| vec![a, b, c, d])
}

fn packet() -> impl Strategy<Value = Packet> {
    let parts =
        (bytes(), vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..60), vec((any::<u8>(), bytes()), 0..3));
    let kinds = (any::<bool>(), any::<bool>(), select(vec![1u8, 4, 6, 17, 47]), 0u8..4);
    (parts, kinds).prop_map(|((link, network, transport, extensions), (six, fragment, l4proto, ct))| Packet {
        family: if six { Family::V6 } else { Family::V4 },
        link,
        network,
        transport,
        extensions,
        l4proto,
        later_fragment: fragment,
        ct: match ct {
            0 => Conntrack::Invalid,
            1 => Conntrack::Untracked,
            _ => Conntrack::Entry(entry(8)),
        },
        ..syn()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_program_ends_for_any_packet(
        rules in vec(vec(prop_oneof![loads(), others()], 0..8), 0..6),
        called in vec(vec(prop_oneof![loads(), others()], 0..4), 0..3),
        sets in sets(),
        packet in packet(),
        answer in any::<bool>(),
    ) {
        let mut table = table(rules);
        table.chains.push(chain("c", called));
        table.sets = sets;
        let tables = [table];
        let trace = trace::hook(&tables, &packet, &mut |_: &Unknown| answer);
        prop_assert_eq!(trace.bases.len(), 1);
        prop_assert_eq!(trace.bases[0].visits.end, trace.visits.len());
    }
}
