//! Rules and sets from bytecode to text, one construct each; the texts are those of nft 1.0.6.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::ruleset::{
    Bitop, CmpOp, CtDir, CtKey, Data, DataType, Dynset, DynsetOp, Element, Elements, Expr, Fib, FibResult,
    KeyPart, Limit, LimitUnit, LookupTarget, MetaKey, Nat, NatRange, Object, ObjectKind, PayloadBase, Reg,
    Set, Udata, Verdict, comment, exthdr,
};

const R: Reg = Reg(0);

fn meta(key: MetaKey) -> Expr {
    Expr::Meta { key, dreg: R }
}

fn ct(key: CtKey, dir: Option<CtDir>) -> Expr {
    Expr::Ct { key, dir, dreg: R }
}

fn payload(base: PayloadBase, offset: u32, len: u32) -> Expr {
    load(base, offset, len, R)
}

fn load(base: PayloadBase, offset: u32, len: u32, dreg: Reg) -> Expr {
    Expr::Payload { base, offset, len, dreg }
}

fn network(offset: u32, len: u32) -> Expr {
    payload(PayloadBase::Network, offset, len)
}

fn transport(offset: u32, len: u32) -> Expr {
    payload(PayloadBase::Transport, offset, len)
}

fn cmp(op: CmpOp, data: &[u8]) -> Expr {
    Expr::Cmp { op, sreg: R, data: data.to_vec() }
}

fn eq(data: &[u8]) -> Expr {
    cmp(CmpOp::Eq, data)
}

fn mask(mask: &[u8], xor: &[u8]) -> Expr {
    let len = u32::try_from(mask.len()).unwrap();
    let op = Bitop::MaskXor { mask: mask.to_vec(), xor: xor.to_vec() };
    Expr::Bitwise { sreg: R, dreg: R, len, op }
}

fn lookup(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R, dreg: None, invert: false }
}

fn vmap(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R, dreg: Some(LookupTarget::Verdict), invert: false }
}

fn native(number: u32) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

fn accept() -> Expr {
    Expr::Verdict(Verdict::Accept)
}

fn drop() -> Expr {
    Expr::Verdict(Verdict::Drop)
}

/// A table with the sets that the rules of these tests look into.
fn table(family: TableFamily) -> Table {
    use KeyPart::{Addr4, Iifname, L4proto, Mark, Network, Nfproto, Port};
    let mut table = Table::new(family, "t");
    table.sets = vec![
        Set::over("one", &[Network(0, 1)]),
        Set::over("two", &[Network(0, 2)]),
        Set::over("h", &[Network(12, 4)]),
        Set::over("c", &[Mark]),
        Set::over("a", &[Addr4]),
        Set::over("p", &[L4proto, Port]),
        Set::over("x", &[Network(12, 4), L4proto, Port]),
        Set::over("r2", &[Iifname, Network(8, 16), L4proto, Port]),
        Set::verdict_map("f", &[Nfproto]),
    ];
    table
}

fn text_in(family: TableFamily, exprs: Vec<Expr>) -> String {
    rule_text(&table(family), &Rule::new(exprs))
}

fn text(exprs: Vec<Expr>) -> String {
    text_in(TableFamily::Inet, exprs)
}

#[test]
fn states_and_families() {
    let state = |bits: u32| {
        vec![ct(CtKey::State, None), mask(&native(bits), &native(0)), cmp(CmpOp::Neq, &native(0)), accept()]
    };
    assert_eq!(text(state(2)), "ct state established accept");
    assert_eq!(text(state(6)), "ct state established,related accept");
    let exact = vec![ct(CtKey::State, None), eq(&native(2)), accept()];
    assert_eq!(text(exact), "ct state == established accept");
    assert_eq!(text(vec![meta(MetaKey::Nfproto), vmap("f")]), "meta nfproto vmap @f");
    let both = vec![meta(MetaKey::L4proto), cmp(CmpOp::Neq, &[1]), cmp(CmpOp::Neq, &[58]), accept()];
    assert_eq!(text(both), "meta l4proto != icmp meta l4proto != icmpv6 accept");
}

#[test]
fn marks() {
    let test = |m: u32, op, value: u32| {
        vec![ct(CtKey::Mark, None), mask(&native(m), &native(0)), cmp(op, &native(value)), accept()]
    };
    assert_eq!(text(test(0x4000_0000, CmpOp::Eq, 0)), "ct mark & 0x40000000 == 0x00000000 accept");
    assert_eq!(text(test(0xff00_0000, CmpOp::Eq, 0x0500_0000)), "ct mark 0x05000000/8 accept");
    let set = |m: u32, x: u32| {
        let load = [ct(CtKey::Mark, None), mask(&native(m), &native(x))];
        [load.as_slice(), &[Expr::CtSet { key: CtKey::Mark, dir: None, sreg: R }]].concat()
    };
    assert_eq!(text(set(!0x4000_0000, 0x4000_0000)), "ct mark set ct mark | 0x40000000");
    assert_eq!(text(set(0x00ff_ffff, 0x0500_0000)), "ct mark set ct mark & 0x05ffffff | 0x05000000");
    let none = vec![meta(MetaKey::Mark), mask(&native(0), &native(0)), lookup("c"), accept()];
    assert_eq!(text(none), "meta mark & 0x00000000 == @c accept");
}

#[test]
fn raw_bytes() {
    let flags = vec![transport(13, 1), mask(&[0x17], &[0]), cmp(CmpOp::Neq, &[2]), drop()];
    assert_eq!(text(flags), "@th,104,8 & 0x17 != 0x2 drop");
    assert_eq!(text(vec![network(12, 1), eq(&[0x7f]), drop()]), "@nh,96,8 0x7f drop");
    assert_eq!(text(vec![network(12, 4), lookup("h"), drop()]), "@nh,96,32 @h drop");
    let net = vec![network(12, 4), mask(&[255, 255, 0, 0], &[0; 4]), lookup("h"), drop()];
    assert_eq!(text(net), "@nh,96,32 & 0xffff0000 == @h drop");
    assert_eq!(text(vec![transport(2, 2), eq(&[0, 22])]), "th dport 22");
}

#[test]
fn known_headers() {
    let tcp = |rest: Vec<Expr>| [vec![meta(MetaKey::L4proto), eq(&[6])], rest].concat();
    assert_eq!(text(tcp(vec![transport(2, 2), eq(&[0, 22]), accept()])), "tcp dport 22 accept");
    let range = vec![transport(2, 2), cmp(CmpOp::Gte, &[0xc3, 0x50]), cmp(CmpOp::Lte, &[0xc3, 0xb4])];
    assert_eq!(text(tcp(range)), "tcp dport 50000-50100");
    let flags = vec![transport(13, 1), mask(&[3], &[0]), eq(&[2])];
    assert_eq!(text(tcp(flags)), "tcp flags syn / fin,syn");
    let count = tcp(vec![Expr::Counter { packets: 1, bytes: 2 }, transport(2, 2), eq(&[0, 22])]);
    assert_eq!(text(count), "meta l4proto tcp counter packets 1 bytes 2 tcp dport 22");
    let ping = vec![meta(MetaKey::L4proto), eq(&[1]), transport(0, 1), eq(&[8])];
    assert_eq!(text_in(TableFamily::Ip, ping), "icmp type echo-request");
    let four = vec![meta(MetaKey::Nfproto), eq(&[2]), network(12, 4), eq(&[192, 0, 2, 1])];
    assert_eq!(text(four), "ip saddr 192.0.2.1");
}

#[test]
fn prefixes_and_fields() {
    let ip = |exprs| text_in(TableFamily::Ip, exprs);
    assert_eq!(ip(vec![network(12, 3), eq(&[192, 0, 2])]), "ip saddr 192.0.2.0/24");
    let masked = vec![network(16, 4), mask(&[255, 255, 240, 0], &[0; 4]), eq(&[172, 16, 0, 0])];
    assert_eq!(ip(masked), "ip daddr 172.16.0.0/20");
    let odd = vec![network(16, 4), mask(&[255, 0, 255, 0], &[0; 4]), eq(&[10, 0, 1, 0])];
    assert_eq!(ip(odd), "ip daddr & 255.0.255.0 == 10.0.1.0");
    let dscp = vec![network(1, 1), mask(&[0xfc], &[0]), eq(&[0xb8])];
    assert_eq!(ip(dscp), "ip dscp ef");
    let both = vec![network(12, 8), eq(&[192, 0, 2, 1, 192, 0, 2, 2])];
    assert_eq!(ip(both), "ip saddr 192.0.2.1 ip daddr 192.0.2.2");
    let write = vec![
        network(0, 2),
        mask(&[0xff, 0x03], &[0x00, 0xb8]),
        Expr::PayloadSet {
            base: PayloadBase::Network,
            offset: 0,
            len: 2,
            sreg: R,
            csum_type: 1,
            csum_offset: 10,
            csum_flags: 0,
        },
    ];
    assert_eq!(ip(write), "ip dscp set ef");
}

#[test]
fn concatenations() {
    let keys = |first: Vec<Expr>, regs: u8, set: &str| {
        let rest = vec![
            Expr::Meta { key: MetaKey::L4proto, dreg: Reg(regs) },
            load(PayloadBase::Transport, 2, 2, Reg(regs + 1)),
            lookup(set),
            accept(),
        ];
        text([first, rest].concat())
    };
    assert_eq!(keys(vec![], 0, "p"), "meta l4proto . th dport @p accept");
    let net = vec![network(12, 4), mask(&[255, 255, 255, 0], &[0; 4])];
    assert_eq!(keys(net, 1, "x"), "@nh,96,32 & 0xffffff00 . meta l4proto . th dport @x accept");
    let six = vec![meta(MetaKey::Iifname), load(PayloadBase::Network, 8, 16, Reg(4))];
    assert_eq!(keys(six, 8, "r2"), "iifname . @nh,64,128 . meta l4proto . th dport @r2 accept");
}

#[test]
fn properties() {
    let name = |name: &[u8]| text(vec![meta(MetaKey::Iifname), eq(name), accept()]);
    assert_eq!(name(b"eth"), "iifname \"eth*\" accept");
    assert_eq!(name(b"eth0\0\0\0\0\0\0\0\0\0\0\0\0"), "iifname \"eth0\" accept");
    assert_eq!(text(vec![meta(MetaKey::Iif), eq(&native(1)), accept()]), "iif \"lo\" accept");
    assert_eq!(text(vec![meta(MetaKey::Skuid), eq(&native(33)), drop()]), "meta skuid 33 drop");
    let original = ct(CtKey::DstIp, Some(CtDir::Original));
    let net = vec![original, mask(&[255, 255, 255, 0], &[0; 4]), lookup("a"), accept()];
    assert_eq!(text(net), "ct original ip daddr & 255.255.255.0 == @a accept");
    let dnat = vec![ct(CtKey::Status, None), mask(&native(32), &native(0)), cmp(CmpOp::Neq, &native(0))];
    assert_eq!(text(dnat), "ct status dnat");
    let fib = |result, flags| Expr::Fib(Fib { result, flags, dreg: R });
    let local = vec![fib(FibResult::AddrType, 1), eq(&native(2)), drop()];
    assert_eq!(text(local), "fib saddr type local drop");
    let route = vec![fib(FibResult::Oif, 2 | 8), cmp(CmpOp::Neq, &native(0)), accept()];
    assert_eq!(text(route), "fib daddr . iif oif != 0 accept");
    let routing = Expr::Exthdr { header: 43, offset: 2, len: 1, flags: 0, op: exthdr::IPV6, dreg: R };
    assert_eq!(text(vec![routing, eq(&[0]), drop()]), "rt type 0 drop");
}

#[test]
fn changes_to_sets() {
    let change = |op, set: &str, timeout, exprs| {
        let dynset = Dynset { set: set.to_owned(), op, key: R, data: None, timeout, invert: false, exprs };
        text(vec![network(12, 4), Expr::Dynset(dynset)])
    };
    let limit = Limit { rate: 6, seconds: 60, burst: 20, unit: LimitUnit::Packets, over: true };
    assert_eq!(
        change(DynsetOp::Update, "h", None, vec![Expr::Limit(limit)]),
        "update @h { @nh,96,32 limit rate over 6/minute burst 20 packets }"
    );
    assert_eq!(change(DynsetOp::Add, "h", Some(10_000), vec![]), "add @h { @nh,96,32 timeout 10s }");
    assert_eq!(change(DynsetOp::Delete, "h", None, vec![]), "delete @h { @nh,96,32 }");
}

#[test]
fn translations() {
    let address = |data: &[u8], reg| Expr::Immediate { dreg: Reg(reg), data: data.to_vec() };
    let nat = |source, addr, range| Expr::Nat(Nat { source, family: 2, addr, range });
    let ports = NatRange { proto_min: Some(Reg(1)), ..NatRange::default() };
    let to = vec![address(&[192, 0, 2, 1], 0), address(&[0, 80], 1), nat(false, (Some(Reg(0)), None), ports)];
    assert_eq!(text(to.clone()), "dnat ip to 192.0.2.1:80");
    assert_eq!(text_in(TableFamily::Ip, to), "dnat to 192.0.2.1:80");
    let range = vec![
        address(&[192, 0, 2, 1], 0),
        address(&[192, 0, 2, 9], 1),
        nat(true, (Some(Reg(0)), Some(Reg(1))), NatRange { flags: 8, ..NatRange::default() }),
    ];
    assert_eq!(text(range), "snat ip to 192.0.2.1-192.0.2.9 persistent");
    assert_eq!(text(vec![Expr::Masq(NatRange::default())]), "masquerade");
    let local = NatRange { proto_min: Some(R), ..NatRange::default() };
    assert_eq!(text(vec![address(&[0x1f, 0x90], 0), Expr::Redir(local)]), "redirect to :8080");
}

#[test]
fn comments_cannot_break_out() {
    let table = table(TableFamily::Inet);
    let rule = Rule::new(vec![accept()]).commented("policy.dw:3 allow ssh");
    assert_eq!(rule_text(&table, &rule), "accept comment \"policy.dw:3 allow ssh\"");
    let hostile = Rule::new(vec![accept()]).commented("\"\n} flush ruleset");
    assert_eq!(rule_text(&table, &hostile), "accept comment \"'?} flush ruleset\"");
}

#[test]
fn the_unknown_is_a_comment_and_a_note() {
    let mut table = table(TableFamily::Ip);
    let mut chain = Chain::regular("c");
    let unknown = Expr::Unknown { name: "match".to_owned(), data: vec![0; 12] };
    chain.rules.push(Rule::new(vec![unknown, accept()]));
    table.chains.push(chain);
    let listing = table_listing(&table, &Style::default());
    assert!(listing.text.contains("\t\t# unknown expression match (12 bytes): [match] accept\n"));
    assert_eq!(listing.notes, ["table ip t: chain c: unknown expression match (12 bytes): [match] accept"]);
    let empty = Rule::new(vec![eq(&[1])]);
    assert_eq!(rule_text(&table, &empty), "# unknown expression cmp (0 bytes): [cmp]");
}

#[test]
fn foreign_expressions() {
    let attribute = |kind: u16, value: &[u8]| {
        let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let queue = [attribute(1, &[0, 1]), attribute(2, &[0, 4]), attribute(3, &[0, 1])].concat();
    let queue = Expr::Unknown { name: "queue".to_owned(), data: queue };
    assert_eq!(text(vec![queue]), "queue flags bypass to 1-4");
    // A length that reaches beyond the end must not be believed.
    let torn = Expr::Unknown { name: "queue".to_owned(), data: vec![255, 0, 1, 0] };
    assert_eq!(text(vec![torn]), "queue to 0");
}

fn element(key: &[u8]) -> Element {
    Element::of(key.to_vec())
}

#[test]
fn tables_as_nft_lays_them_out() {
    let mut table = Table::new(TableFamily::Inet, "doorward");
    table.udata = comment(udata_kind::TABLE_COMMENT, "made by hand");
    table.objects.push(Object {
        name: "ftp".to_owned(),
        kind: ObjectKind::CtHelper { helper: "ftp".to_owned(), l3proto: 2, l4proto: 6 },
        udata: Udata::default(),
    });
    let mut ports = Set::over("ports", &[KeyPart::Port]);
    ports.size = Some(8);
    ports.elements = Elements::Plain(vec![0, 80, 0, 22, 1, 187, 0, 25, 0, 53, 3, 227]);
    table.sets.push(ports);
    let mut nets = Set::over("nets", &[KeyPart::Addr4]);
    nets.flags = set_flags::INTERVAL;
    let end = |key: &[u8]| Element { flags: 1, ..element(key) };
    nets.elements = Elements::Full(vec![
        end(&[198, 51, 100, 8]),
        element(&[198, 51, 100, 1]),
        element(&[10, 0, 0, 0]),
        end(&[11, 0, 0, 0]),
        element(&[192, 0, 2, 7]),
        end(&[192, 0, 2, 8]),
        element(&[224, 0, 0, 0]),
    ]);
    table.sets.push(nets);
    let mut map = Set::verdict_map("v", &[KeyPart::L4proto, KeyPart::Port]);
    map.elements = Elements::Full(vec![Element {
        data: Some(Data::Verdict(Verdict::Goto("yes".to_owned()))),
        exprs: vec![Expr::Counter { packets: 3, bytes: 180 }],
        ..element(&[6, 0, 0, 0, 0, 22, 0, 0]).commented("policy.dw:1")
    }]);
    table.sets.push(map);
    table.chains.push(Chain {
        base: Some(Base {
            kind: ChainKind::Filter,
            hook: Hook::Input,
            priority: -5,
            policy: Policy::Drop,
            devices: vec![],
        }),
        ..Chain::regular("input")
    });
    let mut yes = Chain::regular("yes");
    yes.rules.push(Rule::new(vec![accept()]));
    table.chains.push(yes);
    let expected = "\
table inet doorward {
	comment \"made by hand\"
	ct helper ftp {
		type \"ftp\" protocol tcp
		l3proto ip
	}

	set ports {
		type inet_service
		size 8
		elements = { 22, 25, 53, 80, 443,
			     995 }
	}

	set nets {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8, 192.0.2.7,
			     198.51.100.1-198.51.100.7, 224.0.0.0/3 }
	}

	map v {
		type inet_proto . inet_service : verdict
		elements = { tcp . 22 counter packets 3 bytes 180 comment \"policy.dw:1\" : goto yes }
	}

	chain input {
		type filter hook input priority filter - 5; policy drop;
	}

	chain yes {
		accept
	}
}
";
    assert_eq!(nft_table(&table), expected);
    let ruleset = Ruleset { tables: vec![table] };
    assert_eq!(nft(&ruleset), expected);
    assert_eq!(listing(&ruleset, &Style::default()).notes, Vec::<String>::new());
}

#[test]
fn anonymous_sets_stand_in_the_rule() {
    let mut table = Table::new(TableFamily::Ip, "t");
    let mut set = Set::over("__set0", &[KeyPart::Port]);
    set.flags = set_flags::ANONYMOUS | set_flags::CONSTANT;
    set.elements = Elements::Plain(vec![0, 80, 0, 22]);
    table.sets.push(set);
    let mut map = Set::over("__map0", &[KeyPart::Port]);
    map.flags = set_flags::ANONYMOUS | set_flags::CONSTANT | set_flags::MAP;
    map.data = Some(DataType::Value { kind: 19, len: 4 });
    map.udata.push(1, &1u32.to_le_bytes());
    map.elements = Elements::Full(vec![Element { data: Some(Data::Value(native(7))), ..element(&[0, 22]) }]);
    table.sets.push(map);
    let port = [meta(MetaKey::L4proto), eq(&[6]), transport(2, 2)];
    let rule = Rule::new([port.as_slice(), &[lookup("__set0"), accept()]].concat());
    assert_eq!(rule_text(&table, &rule), "tcp dport { 22, 80 } accept");
    let value =
        Expr::Lookup { set: "__map0".to_owned(), sreg: R, dreg: Some(LookupTarget::Value(R)), invert: false };
    let set_mark = Expr::MetaSet { key: MetaKey::Mark, sreg: R };
    let rule = Rule::new([port.as_slice(), &[value, set_mark]].concat());
    assert_eq!(rule_text(&table, &rule), "meta mark set tcp dport map { 22 : 0x00000007 }");
}

#[test]
fn priorities_by_name() {
    use Hook::{Input, Output, Postrouting, Prerouting};
    use TableFamily::{Bridge, Inet, Ip, Netdev};
    for (family, hook, number, text) in [
        (Inet, Input, 0, "filter"),
        (Inet, Input, 10, "filter + 10"),
        (Inet, Input, 11, "11"),
        (Ip, Prerouting, -300, "raw"),
        (Ip, Prerouting, -105, "dstnat - 5"),
        (Ip, Output, -100, "-100"),
        (Ip, Postrouting, 100, "srcnat"),
        (Bridge, Input, -200, "filter"),
        (Bridge, Input, 0, "0"),
        (Netdev, Hook::Ingress, -150, "-150"),
        (Inet, Input, i32::MIN, "-2147483648"),
    ] {
        assert_eq!(priority(family, hook, number), text);
    }
}

#[test]
fn shifted_fields() {
    let frag = Expr::Exthdr { header: 44, offset: 2, len: 2, flags: 0, op: exthdr::IPV6, dreg: R };
    let shift = Expr::Bitwise { sreg: R, dreg: R, len: 2, op: Bitop::Shr(3) };
    let exprs = vec![frag, mask(&[0xff, 0xf8], &[0, 0]), shift, lookup("two"), accept()];
    assert_eq!(text(exprs), "frag frag-off @two accept");
    let version = vec![
        network(0, 1),
        mask(&[0xf0], &[0]),
        Expr::Bitwise { sreg: R, dreg: R, len: 1, op: Bitop::Shr(4) },
        lookup("one"),
    ];
    assert_eq!(text_in(TableFamily::Ip, version), "ip version @one");
}

mod any_input {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), Just(vec![0; 4]), Just(vec![255; 16])]
    }

    fn reg() -> impl Strategy<Value = Reg> {
        prop_oneof![4 => 0u8..3, 1 => any::<u8>()].prop_map(Reg)
    }

    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0u32..40, any::<u32>(), Just(u32::MAX / 8)]
    }

    fn set_name() -> impl Strategy<Value = String> {
        prop_oneof![Just("h"), Just("x"), Just("f"), Just("odd"), Just("none")].prop_map(str::to_owned)
    }

    fn expr() -> impl Strategy<Value = Expr> {
        let base = (0u32..6).prop_map(|n| match n {
            0 => PayloadBase::Link,
            1 => PayloadBase::Network,
            2 => PayloadBase::Transport,
            3 => PayloadBase::Inner,
            n => PayloadBase::Other(n),
        });
        let op = prop_oneof![Just(CmpOp::Eq), Just(CmpOp::Neq), Just(CmpOp::Gte), Just(CmpOp::Lte)];
        let name = prop_oneof![
            Just("hash"),
            Just("numgen"),
            Just("socket"),
            Just("queue"),
            Just("tproxy"),
            Just("exthdr"),
            Just("fwd"),
            Just("dup"),
            Just("xfrm"),
            Just("match")
        ];
        let bits = (bytes(), bytes(), number(), 0u8..4).prop_map(|(mask, xor, by, which)| match which {
            0 => Bitop::Shl(by),
            1 => Bitop::Shr(by),
            _ => Bitop::MaskXor { mask, xor },
        });
        prop_oneof![
            (number(), reg()).prop_map(|(n, dreg)| Expr::Meta { key: MetaKey::from_number(n), dreg }),
            (number(), reg()).prop_map(|(n, dreg)| Expr::Ct { key: CtKey::from_number(n), dir: None, dreg }),
            (base, number(), number(), reg()).prop_map(|(base, offset, len, dreg)| Expr::Payload {
                base,
                offset,
                len,
                dreg
            }),
            (any::<u8>(), number(), number(), number(), number(), reg()).prop_map(
                |(header, offset, len, flags, op, dreg)| Expr::Exthdr {
                    header,
                    offset,
                    len,
                    flags,
                    op,
                    dreg
                }
            ),
            (reg(), bytes()).prop_map(|(dreg, data)| Expr::Immediate { dreg, data }),
            (op.clone(), reg(), bytes()).prop_map(|(op, sreg, data)| Expr::Cmp { op, sreg, data }),
            (op, reg(), bytes(), bytes()).prop_map(|(op, sreg, from, to)| Expr::Range { op, sreg, from, to }),
            (reg(), reg(), number(), bits).prop_map(|(sreg, dreg, len, op)| Expr::Bitwise {
                sreg,
                dreg,
                len,
                op
            }),
            (set_name(), reg(), any::<bool>()).prop_map(|(set, sreg, invert)| {
                let dreg = invert.then_some(LookupTarget::Verdict);
                Expr::Lookup { set, sreg, dreg, invert }
            }),
            (set_name(), reg(), reg()).prop_map(|(set, sreg, to)| Expr::Lookup {
                set,
                sreg,
                dreg: Some(LookupTarget::Value(to)),
                invert: false
            }),
            (name, bytes()).prop_map(|(name, data)| Expr::Unknown { name: name.to_owned(), data }),
            Just(Expr::Verdict(Verdict::Jump("__chain0".to_owned()))),
        ]
    }

    proptest! {
        #[test]
        fn is_written_without_panic(
            exprs in proptest::collection::vec(expr(), 0..12),
            family in 0u8..12,
            (key_type, key_len, flags) in (number(), number(), 0u32..0x200),
            udata in bytes(),
            keys in proptest::collection::vec((bytes(), proptest::option::of(bytes()), 0u32..4), 0..6),
        ) {
            let mut table = table(TableFamily::from_number(family));
            let mut odd = Set::over("odd", &[KeyPart::Mark]);
            (odd.key_type, odd.key_len, odd.flags, odd.udata) = (key_type, key_len, flags, Udata(udata));
            odd.data = (flags & 1 == 1).then_some(DataType::Value { kind: key_len, len: key_type });
            odd.elements = Elements::Full(keys.into_iter().map(|(key, key_end, flags)| Element {
                data: Some(Data::Value(key.clone())), key, key_end, flags, ..Element::default()
            }).collect());
            table.sets.push(odd);
            let mut chain = Chain::regular("__chain0");
            chain.rules.push(Rule::new(exprs.clone()));
            table.chains.push(chain);
            let mut caller = Chain::regular("c");
            caller.rules.push(Rule::new(exprs));
            table.chains.push(caller);
            let listing = table_listing(&table, &Style::default());
            let ends_well = listing.text.ends_with("}\n");
            prop_assert!(ends_well);
            prop_assert_eq!(listing, table_listing(&table, &Style::default()));
        }
    }
}
