//! What is encoded is decoded as it was, for any value; and no bytes make the decoder panic.

use doorward::ruleset::{Base, ChainKind};
use doorward::ruleset::{
    Bitop, Chain, CmpOp, CtDir, CtKey, Data, DataType, Dynset, DynsetOp, Element, Elements, Expr, Fib,
    FibResult, Hook, KeyPart, Limit, LimitUnit, Log, LookupTarget, MetaKey, Nat, NatRange, Object,
    ObjectKind, PayloadBase, Policy, Reg, Reject, Rule, Set, Step, TableFamily, Transaction, Udata, Verdict,
    set_flags,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::decode::{Item, decode_message};
use crate::encode::batch;
use crate::sealed::decode;

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_.-]{1,30}", "[^\0]{1,20}"]
}

fn reg() -> impl Strategy<Value = Reg> {
    (0u8..16).prop_map(Reg)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..32)
}

fn udata() -> impl Strategy<Value = Udata> {
    vec(any::<u8>(), 0..40).prop_map(Udata)
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Accept),
        Just(Verdict::Drop),
        Just(Verdict::Continue),
        Just(Verdict::Break),
        Just(Verdict::Return),
        Just(Verdict::Queue),
        name().prop_map(Verdict::Jump),
        name().prop_map(Verdict::Goto),
        (4i32..).prop_map(Verdict::Other),
    ]
}

fn base() -> impl Strategy<Value = PayloadBase> {
    prop_oneof![
        Just(PayloadBase::Link),
        Just(PayloadBase::Network),
        Just(PayloadBase::Transport),
        Just(PayloadBase::Inner),
        (4u32..).prop_map(PayloadBase::Other),
    ]
}

fn cmp() -> impl Strategy<Value = CmpOp> {
    proptest::sample::select(vec![CmpOp::Eq, CmpOp::Neq, CmpOp::Lt, CmpOp::Lte, CmpOp::Gt, CmpOp::Gte])
}

fn bitop() -> impl Strategy<Value = Bitop> {
    prop_oneof![
        (bytes(), bytes()).prop_map(|(mask, xor)| Bitop::MaskXor { mask, xor }),
        any::<u32>().prop_map(Bitop::Shl),
        any::<u32>().prop_map(Bitop::Shr),
        (3u32.., option::of(reg())).prop_map(|(op, sreg2)| Bitop::Other { op, sreg2 }),
    ]
}

fn dir() -> impl Strategy<Value = Option<CtDir>> {
    option::of(prop_oneof![Just(CtDir::Original), Just(CtDir::Reply)])
}

fn limit() -> impl Strategy<Value = Limit> {
    (any::<u64>(), any::<u64>(), any::<u32>(), any::<bool>(), any::<bool>()).prop_map(
        |(rate, seconds, burst, bytes, over)| Limit {
            rate,
            seconds,
            burst,
            unit: if bytes { LimitUnit::Bytes } else { LimitUnit::Packets },
            over,
        },
    )
}

fn range() -> impl Strategy<Value = NatRange> {
    (option::of(reg()), option::of(reg()), any::<u32>()).prop_map(|(proto_min, proto_max, flags)| NatRange {
        proto_min,
        proto_max,
        flags,
    })
}

fn log() -> impl Strategy<Value = Log> {
    (
        option::of("[^\0]{0,30}"),
        any::<Option<u16>>(),
        any::<Option<u32>>(),
        any::<Option<u16>>(),
        any::<Option<u32>>(),
        any::<Option<u32>>(),
    )
        .prop_map(|(prefix, group, snaplen, qthreshold, level, flags)| Log {
            prefix,
            group,
            snaplen,
            qthreshold,
            level,
            flags,
        })
}

/// Loads and stores.
fn moving() -> impl Strategy<Value = Expr> {
    let key = || any::<u32>().prop_map(|n| n % 40);
    prop_oneof![
        (key(), reg()).prop_map(|(key, dreg)| Expr::Meta { key: MetaKey::from_number(key), dreg }),
        (key(), reg()).prop_map(|(key, sreg)| Expr::MetaSet { key: MetaKey::from_number(key), sreg }),
        (base(), any::<u32>(), any::<u32>(), reg()).prop_map(|(base, offset, len, dreg)| Expr::Payload {
            base,
            offset,
            len,
            dreg
        }),
        (base(), any::<[u32; 5]>(), reg()).prop_map(
            |(base, [offset, len, csum_type, csum_offset, csum_flags], sreg)| Expr::PayloadSet {
                base,
                offset,
                len,
                sreg,
                csum_type,
                csum_offset,
                csum_flags,
            }
        ),
        (any::<u8>(), any::<[u32; 4]>(), reg()).prop_map(|(header, [offset, len, flags, op], dreg)| {
            Expr::Exthdr { header, offset, len, flags, op, dreg }
        }),
        (reg(), bytes()).prop_map(|(dreg, data)| Expr::Immediate { dreg, data }),
        (key(), dir(), reg()).prop_map(|(key, dir, dreg)| Expr::Ct {
            key: CtKey::from_number(key),
            dir,
            dreg
        }),
        (key(), dir(), reg()).prop_map(|(key, dir, sreg)| Expr::CtSet {
            key: CtKey::from_number(key),
            dir,
            sreg
        }),
        (any::<u32>(), reg()).prop_map(|(key, dreg)| Expr::Rt { key, dreg }),
        (0u32..9, any::<u32>(), reg()).prop_map(|(result, flags, dreg)| Expr::Fib(Fib {
            result: match result {
                1 => FibResult::Oif,
                2 => FibResult::Oifname,
                3 => FibResult::AddrType,
                other => FibResult::Other(other),
            },
            flags,
            dreg,
        })),
    ]
}

/// What compares, computes and looks up.
fn judging() -> impl Strategy<Value = Expr> {
    prop_oneof![
        (cmp(), reg(), bytes()).prop_map(|(op, sreg, data)| Expr::Cmp { op, sreg, data }),
        (any::<bool>(), reg(), bytes(), bytes()).prop_map(|(eq, sreg, from, to)| Expr::Range {
            op: if eq { CmpOp::Eq } else { CmpOp::Neq },
            sreg,
            from,
            to
        }),
        (reg(), reg(), any::<u32>(), bitop()).prop_map(|(sreg, dreg, len, op)| Expr::Bitwise {
            sreg,
            dreg,
            len,
            op
        }),
        (reg(), reg(), any::<[u32; 3]>()).prop_map(|(sreg, dreg, [op, len, size])| Expr::Byteorder {
            sreg,
            dreg,
            op,
            len,
            size
        }),
        verdict().prop_map(Expr::Verdict),
        (
            name(),
            reg(),
            option::of(prop_oneof![Just(LookupTarget::Verdict), reg().prop_map(LookupTarget::Value)]),
            any::<bool>()
        )
            .prop_map(|(set, sreg, dreg, invert)| Expr::Lookup { set, sreg, dreg, invert }),
        limit().prop_map(Expr::Limit),
        any::<[u64; 2]>().prop_map(|[packets, bytes]| Expr::Counter { packets, bytes }),
        (any::<[u64; 2]>(), 0u32..2).prop_map(|([bytes, consumed], flags)| Expr::Quota {
            bytes,
            consumed,
            flags
        }),
        any::<[u32; 2]>().prop_map(|[count, flags]| Expr::Connlimit { count, flags }),
        (any::<u64>(), any::<u32>()).prop_map(|(msecs, set)| Expr::Last { msecs, set }),
        (any::<u32>(), name()).prop_map(|(kind, name)| Expr::Objref { kind, name }),
        (reg(), name()).prop_map(|(sreg, set)| Expr::ObjrefMap { sreg, set }),
    ]
}

/// What does something.
fn acting() -> impl Strategy<Value = Expr> {
    prop_oneof![
        log().prop_map(Expr::Log),
        any::<u8>().prop_map(|code| Expr::Reject(Reject::Icmp(code))),
        any::<u8>().prop_map(|code| Expr::Reject(Reject::Icmpx(code))),
        Just(Expr::Reject(Reject::TcpReset)),
        (any::<bool>(), any::<u8>(), option::of(reg()), option::of(reg()), range()).prop_map(
            |(source, family, min, max, range)| Expr::Nat(Nat { source, family, addr: (min, max), range })
        ),
        range().prop_map(Expr::Masq),
        range().prop_map(Expr::Redir),
        Just(Expr::Notrack),
        ("x_[a-z]{1,8}", vec(any::<u8>(), 0..40)).prop_map(|(name, data)| Expr::Unknown { name, data }),
    ]
}

fn simple() -> impl Strategy<Value = Expr> {
    prop_oneof![moving(), judging(), acting()]
}

fn expr() -> impl Strategy<Value = Expr> {
    let dynset = (
        (name(), 0u32..9, reg(), option::of(reg())),
        (option::of(1u64..), any::<bool>(), vec(simple(), 0..3)),
    );
    let dynset = dynset.prop_map(|((set, op, key, data), (timeout, invert, exprs))| {
        Expr::Dynset(Dynset {
            set,
            op: match op {
                0 => DynsetOp::Add,
                1 => DynsetOp::Update,
                2 => DynsetOp::Delete,
                other => DynsetOp::Other(other),
            },
            key,
            data,
            timeout,
            invert,
            exprs,
        })
    });
    prop_oneof![4 => simple(), 1 => dynset]
}

fn rule() -> impl Strategy<Value = Rule> {
    (vec(expr(), 0..6), udata()).prop_map(|(exprs, udata)| Rule { exprs, udata, handle: None })
}

fn element() -> impl Strategy<Value = Element> {
    let data = option::of(prop_oneof![verdict().prop_map(Data::Verdict), bytes().prop_map(Data::Value)]);
    (
        (vec(any::<u8>(), 0..24), option::of(bytes()), data, option::of(name())),
        (0u32..4, any::<Option<u64>>(), any::<Option<u64>>(), vec(simple(), 0..3), udata()),
    )
        .prop_map(|((key, key_end, data, object), (flags, timeout, expiration, exprs, udata))| Element {
            key,
            key_end,
            data,
            object,
            flags,
            timeout,
            expiration,
            exprs,
            udata,
        })
}

fn set() -> impl Strategy<Value = Set> {
    let data = option::of(prop_oneof![
        Just(DataType::Verdict),
        (0u32..0xffff_ff00, any::<u32>()).prop_map(|(kind, len)| DataType::Value { kind, len }),
    ]);
    (
        (name(), any::<u32>(), any::<[u32; 3]>(), vec(any::<u32>(), 0..5), data),
        (any::<[Option<u32>; 3]>(), any::<Option<u64>>(), vec(simple(), 0..3), udata()),
    )
        .prop_map(
            |(
                (name, flags, [key_type, key_len, policy], key_parts, data),
                ([object_kind, size, gc_interval], timeout, exprs, udata),
            )| Set {
                name,
                flags: if exprs.len() > 1 { flags | set_flags::EXPR } else { flags },
                key_type,
                key_len,
                key_parts,
                data,
                object_kind,
                size,
                timeout,
                gc_interval,
                policy,
                exprs,
                udata,
                elements: Elements::Full(Vec::new()),
            },
        )
}

fn family() -> impl Strategy<Value = TableFamily> {
    any::<u8>().prop_map(TableFamily::from_number)
}

fn chain() -> impl Strategy<Value = Chain> {
    let kind = prop_oneof![
        Just(ChainKind::Filter),
        Just(ChainKind::Nat),
        Just(ChainKind::Route),
        "x[a-z]{1,8}".prop_map(ChainKind::Other),
    ];
    let base = (kind, 0u32..5, any::<i32>(), any::<bool>(), vec("[a-z0-9]{1,12}[*]?", 0..3)).prop_map(
        |(kind, hook, priority, drop, devices)| Base {
            kind,
            hook: match hook {
                0 => Hook::Prerouting,
                1 => Hook::Input,
                2 => Hook::Forward,
                3 => Hook::Output,
                _ => Hook::Postrouting,
            },
            priority,
            policy: if drop { Policy::Drop } else { Policy::Accept },
            devices,
        },
    );
    (name(), option::of(base), udata()).prop_map(|(name, base, udata)| Chain {
        name,
        base,
        udata,
        rules: Vec::new(),
    })
}

fn object() -> impl Strategy<Value = Object> {
    let kind = prop_oneof![
        any::<[u64; 2]>().prop_map(|[packets, bytes]| ObjectKind::Counter { packets, bytes }),
        (name(), any::<u16>(), any::<u8>()).prop_map(|(helper, l3proto, l4proto)| ObjectKind::CtHelper {
            helper,
            l3proto,
            l4proto
        }),
        limit().prop_map(ObjectKind::Limit),
        (5u32.., vec(any::<u8>(), 0..40)).prop_map(|(number, data)| ObjectKind::Other { number, data }),
    ];
    (name(), kind, udata()).prop_map(|(name, kind, udata)| Object { name, kind, udata })
}

/// What comes back when this one step is encoded and decoded.
fn through(family: TableFamily, step: Step) -> Vec<Item> {
    let mut transaction = Transaction::on(family, "t");
    transaction.steps.push(step);
    let batch = batch(&transaction, None).unwrap();
    decode_message(&batch.bytes)
}

proptest! {
    #[test]
    fn rules_survive(family in family(), chain in name(), rule in rule()) {
        let back = through(family, Step::AddRule { chain: chain.clone(), rule: rule.clone() });
        prop_assert_eq!(back, [Item::Rule { family, table: "t".to_owned(), chain, rule }]);
    }

    #[test]
    fn elements_survive(family in family(), name in name(), list in vec(element(), 1..5)) {
        let elements = Elements::Full(list);
        let back = through(family, Step::AddElements {
            set: name.clone(),
            flags: 0,
            key_len: 4,
            elements: elements.clone(),
        });
        prop_assert_eq!(back, [Item::Elements { family, table: "t".to_owned(), set: name, elements }]);
    }

    #[test]
    fn sets_survive(family in family(), set in set()) {
        let back = through(family, Step::AddSet(set.clone()));
        prop_assert_eq!(back, [Item::Set { family, table: "t".to_owned(), set, count: None }]);
    }

    #[test]
    fn chains_survive(chain in chain(), arp in any::<bool>()) {
        let family = if arp { TableFamily::Ip6 } else { TableFamily::Inet };
        let back = through(family, Step::add_chain(&chain));
        prop_assert_eq!(back, [Item::Chain { family, table: "t".to_owned(), chain }]);
    }

    #[test]
    fn objects_survive(family in family(), object in object()) {
        let back = through(family, Step::AddObject(object.clone()));
        prop_assert_eq!(back, [Item::Object { family, table: "t".to_owned(), object }]);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..600)) {
        let _ = decode_message(&bytes);
    }

    #[test]
    fn damaged_messages_are_read_without_panic(
        rule in rule(),
        set in set(),
        list in vec(element(), 1..4),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut transaction = Transaction::on(TableFamily::Inet, "t");
        transaction.steps.push(Step::AddSet(set));
        transaction.steps.push(Step::AddElements {
            set: "s".to_owned(),
            flags: 0,
            key_len: 4,
            elements: Elements::Full(list),
        });
        transaction.steps.push(Step::AddRule { chain: "c".to_owned(), rule });
        let mut bytes = batch(&transaction, Some(7)).unwrap().bytes;
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = decode_message(&bytes);
        let _ = decode(&bytes);
    }
}

/// Every kind of step comes back from the bytes of its transaction.
#[test]
fn steps_survive() {
    let mut transaction = Transaction::on(TableFamily::Inet, "t");
    let name = || "n".to_owned();
    let elements = || Elements::Plain(vec![1, 2, 3, 4, 5, 6, 7, 8]);
    let object = ObjectKind::Counter { packets: 1, bytes: 2 };
    transaction.steps = vec![
        Step::AddTable { flags: 0, udata: Udata(vec![1]) },
        Step::AddObject(Object { name: name(), kind: object, udata: Udata::default() }),
        Step::AddChain { name: name(), base: None, udata: Udata::default() },
        Step::AddSet(Set::over("n", &[KeyPart::Addr4])),
        Step::AddElements { set: name(), flags: 0, key_len: 4, elements: elements() },
        Step::AddRule { chain: name(), rule: Rule::new(vec![Expr::Verdict(Verdict::Drop)]) },
        Step::DeleteElements { set: name(), flags: 0, key_len: 4, elements: elements() },
        Step::FlushSet(name()),
        Step::FlushChain(name()),
        Step::DeleteSet(name()),
        Step::DeleteChain(name()),
        Step::DeleteObject { kind: 1, name: name() },
        Step::DeleteTable,
    ];
    for generation in [None, Some(7)] {
        let bytes = batch(&transaction, generation).unwrap().bytes;
        assert_eq!(decode(&bytes).as_ref(), Some(&transaction));
        assert_eq!(decode(&bytes[..bytes.len() - 4]), None);
    }
}

/// A dynset in a dynset in a dynset …, as deep as a message is long, would exhaust the stack of a reader that follows.
#[test]
fn nesting_without_end_is_not_followed() {
    let mut inner = Expr::Counter { packets: 0, bytes: 0 };
    for _ in 0..500 {
        inner = Expr::Dynset(Dynset {
            set: "s".to_owned(),
            op: DynsetOp::Add,
            key: Reg(0),
            data: None,
            timeout: None,
            invert: false,
            exprs: vec![inner],
        });
    }
    let back =
        through(TableFamily::Inet, Step::AddRule { chain: "c".to_owned(), rule: Rule::new(vec![inner]) });
    assert!(matches!(&back[..], [Item::Rule { .. }]));
}

#[test]
fn long_lists_are_split_at_the_16_bits_of_their_length() {
    let keys: Vec<u8> = (0..20_000u32).flat_map(u32::to_be_bytes).collect();
    let step = Step::AddElements {
        set: "s".to_owned(),
        flags: 0,
        key_len: 4,
        elements: Elements::Plain(keys.clone()),
    };
    let mut transaction = Transaction::on(TableFamily::Inet, "t");
    transaction.steps.push(step.clone());
    let sent = batch(&transaction, None).unwrap();
    assert!(sent.messages.len() > 4 && sent.messages.len() < 8, "{}", sent.messages.len());
    assert_eq!(sent.messages[0].first, 0);
    assert!(sent.messages[1].first > 4_000);
    let back: Vec<u8> = through(TableFamily::Inet, step)
        .into_iter()
        .flat_map(|item| match item {
            Item::Elements { elements: Elements::Full(list), .. } => {
                list.into_iter().flat_map(|element| element.key).collect::<Vec<u8>>()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(back, keys);
}

#[test]
fn what_netlink_cannot_say_is_an_error_and_names_the_step() {
    let mut transaction = Transaction::on(TableFamily::Inet, "t");
    transaction.steps.push(Step::FlushChain("c".to_owned()));
    let exprs = vec![Expr::Counter { packets: 0, bytes: 0 }; 2_000];
    transaction.steps.push(Step::AddRule { chain: "c".to_owned(), rule: Rule::new(exprs) });
    assert_eq!(batch(&transaction, None).err().map(|error| error.0), Some(1));
}

#[test]
fn no_elements_are_no_message() {
    let mut transaction = Transaction::on(TableFamily::Inet, "t");
    transaction.steps.push(Step::DeleteElements {
        set: "s".to_owned(),
        flags: 0,
        key_len: 4,
        elements: Elements::Plain(Vec::new()),
    });
    assert!(batch(&transaction, None).unwrap().messages.is_empty());
}
