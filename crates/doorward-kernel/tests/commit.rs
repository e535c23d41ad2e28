//! Transactions against the real kernel: all or nothing, mistakes with their place, races, size, the guard.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use common::{assert_same, fresh, listed, load, read, skip};
use doorward::ruleset::{
    Base, Chain, ChainKind, CmpOp, CtKey, Data, Element, Elements, Expr, Hook, KeyPart, Limit, LimitUnit,
    LookupTarget, Object, ObjectKind, Policy, Reg, Rule, Ruleset, Set, Step, Table, TableFamily, Transaction,
    Udata, Verdict, set_flags,
};
use doorward_kernel::guard::refuse_host;
use doorward_kernel::netns::{NetNs, OwnNetNs};
use doorward_kernel::read::{Depth, INTERVALS_READ};
use doorward_kernel::{CommitError, Generation, Guard, KernelError, Place, Refusal, Scope, Socket};

const FAMILY: TableFamily = TableFamily::Inet;

fn table() -> Transaction {
    let mut transaction = Transaction::on(FAMILY, "t");
    transaction.steps.push(Step::AddTable { flags: 0, udata: Udata::default() });
    transaction
}

fn rule(chain: &str, exprs: Vec<Expr>) -> Step {
    Step::AddRule { chain: chain.to_owned(), rule: Rule::new(exprs) }
}

fn refusals(result: Result<(), CommitError>) -> Vec<Refusal> {
    match result {
        Err(CommitError::Refused(list)) => list,
        other => panic!("{other:?}"),
    }
}

/// What doorward itself builds, by its own types.
fn our_table() -> Table {
    let mut table = Table::new(FAMILY, "doorward");
    let parts = [KeyPart::L4proto, KeyPart::Port];
    let mut doors = Set::verdict_map("doors", &parts);
    doors.exprs = vec![Expr::Counter { packets: 0, bytes: 0 }];
    let door = |port: u16, verdict: Verdict, text: &str| {
        let mut key = vec![6, 0, 0, 0];
        key.extend(port.to_be_bytes());
        key.extend([0, 0]);
        let mut element = Element::of(key).commented(text);
        element.data = Some(Data::Verdict(verdict));
        element.exprs = vec![Expr::Counter { packets: 0, bytes: 0 }];
        element
    };
    doors.elements = Elements::Full(vec![
        door(22, Verdict::Goto("yes".to_owned()), "policy.dw:3"),
        door(80, Verdict::Accept, "policy.dw:4"),
    ]);
    let mut hosts = Set::over("hosts", &[KeyPart::Addr4]);
    hosts.size = Some(4);
    hosts.elements = Elements::Plain(vec![192, 0, 2, 1, 192, 0, 2, 2]);
    let mut bans = Set::over("bans", &[KeyPart::Addr6]);
    bans.flags = set_flags::TIMEOUT;
    bans.timeout = Some(3_600_000);
    table.sets = vec![doors, hosts, bans];
    table.objects = vec![Object {
        name: "ftp".to_owned(),
        kind: ObjectKind::CtHelper { helper: "ftp".to_owned(), l3proto: 1, l4proto: 6 },
        udata: Udata::default(),
    }];
    let mut input = Chain::regular("input");
    input.base = Some(Base {
        kind: ChainKind::Filter,
        hook: Hook::Input,
        priority: 0,
        policy: Policy::Drop,
        devices: Vec::new(),
    });
    input.rules = vec![
        Rule::new(vec![
            Expr::Ct { key: CtKey::State, dir: None, dreg: Reg(0) },
            Expr::Cmp { op: CmpOp::Eq, sreg: Reg(0), data: 2u32.to_ne_bytes().to_vec() },
            Expr::Verdict(Verdict::Accept),
        ])
        .commented("policy.dw:1"),
        Rule::new(vec![
            Expr::Meta { key: doorward::ruleset::MetaKey::L4proto, dreg: Reg(0) },
            Expr::Payload {
                base: doorward::ruleset::PayloadBase::Transport,
                offset: 2,
                len: 2,
                dreg: Reg(1),
            },
            Expr::Lookup {
                set: "doors".to_owned(),
                sreg: Reg(0),
                dreg: Some(LookupTarget::Verdict),
                invert: false,
            },
        ]),
        Rule::new(vec![Expr::Verdict(Verdict::Drop)]),
    ];
    let mut yes = Chain::regular("yes");
    yes.rules = vec![Rule::new(vec![Expr::Verdict(Verdict::Accept)])];
    table.chains = vec![input, yes];
    table
}

#[test]
fn what_is_sent_is_read_back() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let table = our_table();
    socket.commit(&Transaction::create(&table), None).unwrap();
    assert_same(read(&socket), Ruleset { tables: vec![table] });
    let text = listed();
    for part in ["policy.dw:1", "policy.dw:3", "goto yes", "ct helper ftp", "timeout 3600s"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

#[test]
fn steps_change_and_delete() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    socket.commit(&Transaction::create(&our_table()), None).unwrap();
    let mut change = Transaction::on(FAMILY, "doorward");
    let hosts = |keys: &[u8]| Elements::Plain(keys.to_vec());
    change.steps = vec![
        Step::FlushChain("input".to_owned()),
        Step::FlushSet("doors".to_owned()),
        Step::DeleteSet("doors".to_owned()),
        Step::FlushChain("yes".to_owned()),
        Step::DeleteChain("yes".to_owned()),
        Step::DeleteObject { kind: 3, name: "ftp".to_owned() },
        Step::DeleteElements {
            set: "hosts".to_owned(),
            flags: 0,
            key_len: 4,
            elements: hosts(&[192, 0, 2, 1]),
        },
        Step::AddElements { set: "hosts".to_owned(), flags: 0, key_len: 4, elements: hosts(&[192, 0, 2, 9]) },
        rule("input", vec![Expr::Verdict(Verdict::Drop)]),
    ];
    socket.commit(&change, None).unwrap();
    let table = read(&socket).tables.remove(0);
    assert!(table.objects.is_empty());
    assert_eq!(table.chains.len(), 1);
    assert_eq!(table.chains[0].rules.len(), 1);
    let mut names: Vec<_> = table.sets.iter().map(|set| set.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["bans", "hosts"]);
    let text = listed();
    assert!(
        text.contains("192.0.2.2") && text.contains("192.0.2.9") && !text.contains("192.0.2.1,"),
        "{text}"
    );

    let mut end = Transaction::on(FAMILY, "doorward");
    end.steps.push(Step::DeleteTable);
    socket.commit(&end, None).unwrap();
    assert_eq!(read(&socket), Ruleset::default());
}

#[test]
fn all_mistakes_of_one_transaction_are_told_with_their_places() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let mut seven = table();
    let keys: Vec<u8> = (0..9_000u32).flat_map(u32::to_be_bytes).collect();
    let mut networks = Set::over("networks", &[KeyPart::Addr4]);
    networks.flags = set_flags::INTERVAL;
    let element = |key: [u8; 4], flags| Element { flags, ..Element::of(key.to_vec()) };
    let add = |set: &str, elements| Step::AddElements { set: set.to_owned(), flags: 0, key_len: 4, elements };
    let mut map = Set::over("numbers", &[KeyPart::Mark]);
    map.flags = set_flags::MAP;
    map.data = Some(doorward::ruleset::DataType::Value { kind: 19, len: 4 });
    let mut numbers: Vec<Element> = keys.chunks(4).map(|key| Element::of(key.to_vec())).collect();
    for number in &mut numbers {
        number.data = Some(Data::Value(vec![0; 4]));
    }
    // The same key with another value, far behind the first message of elements.
    numbers[8_000].key = numbers[10].key.clone();
    numbers[8_000].data = Some(Data::Value(vec![1; 4]));
    seven.steps.extend([
        Step::AddChain { name: "c".to_owned(), base: None, udata: Udata::default() },
        Step::AddSet(networks),
        Step::AddSet(map),
        add("numbers", Elements::Full(numbers)),
        add(
            "networks",
            Elements::Full(vec![
                element([10, 0, 0, 0], 0),
                element([10, 1, 0, 0], 1),
                element([10, 0, 0, 9], 0),
                element([10, 0, 1, 0], 1),
            ]),
        ),
        rule("nowhere", vec![Expr::Verdict(Verdict::Drop)]),
        rule(
            "c",
            vec![
                Expr::Meta { key: doorward::ruleset::MetaKey::Mark, dreg: Reg(0) },
                Expr::Lookup { set: "nothing".to_owned(), sreg: Reg(0), dreg: None, invert: false },
            ],
        ),
        rule("c", vec![Expr::Verdict(Verdict::Jump("elsewhere".to_owned()))]),
        rule("c", vec![Expr::Unknown { name: "nosuch".to_owned(), data: vec![8, 0, 1, 0, 0, 0, 0, 1] }]),
        Step::AddObject(Object {
            name: "h".to_owned(),
            kind: ObjectKind::CtHelper { helper: "nohelper".to_owned(), l3proto: 2, l4proto: 6 },
            udata: Udata::default(),
        }),
        Step::DeleteSet("unknown".to_owned()),
        Step::DeleteElements {
            set: "numbers".to_owned(),
            flags: 0,
            key_len: 4,
            elements: Elements::Plain(vec![0, 0, 0, 1, 255, 255, 255, 255]),
        },
    ]);
    let all = refusals(socket.commit(&seven, None));
    let told: Vec<(Option<usize>, &str)> = all.iter().map(|one| (one.step, one.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (Some(4), "element 8001 of set `numbers` is there already, or overlaps another"),
            (Some(5), "element 3 of set `networks` is there already, or overlaps another"),
            (Some(6), "there is no chain `nowhere`"),
            (Some(7), "there is no set `nothing`"),
            (Some(8), "there is no chain `elsewhere`"),
            (Some(9), "the kernel has no expression `nosuch`: needs nft_nosuch"),
            (Some(10), "the kernel has no conntrack helper `nohelper`: needs nf_conntrack_nohelper"),
            (Some(11), "there is no set `unknown`"),
            (Some(12), "element 2 of set `numbers` is not there"),
        ]
    );
    assert_eq!(all[0].place, Some(Place::Element(8_000)));
    assert_eq!(all[2].place, Some(Place::Name));
    assert_eq!(all[3].place, Some(Place::Expr { index: 1, name: "lookup".to_owned() }));
    assert_eq!(all[5].module.as_deref(), Some("nft_nosuch"));
    assert_eq!(read(&socket), Ruleset::default(), "a refused transaction left something");
}

#[test]
fn a_circle_of_chains_is_no_mistake_of_the_table() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let mut transaction = table();
    for name in ["a", "b"] {
        transaction.steps.push(Step::AddChain { name: name.to_owned(), base: None, udata: Udata::default() });
    }
    transaction.steps.push(rule("a", vec![Expr::Verdict(Verdict::Jump("b".to_owned()))]));
    transaction.steps.push(rule("b", vec![Expr::Verdict(Verdict::Jump("a".to_owned()))]));
    let mut base = our_table().chains.remove(0);
    base.rules = vec![Rule::new(vec![Expr::Verdict(Verdict::Jump("a".to_owned()))])];
    transaction.steps.push(Step::add_chain(&base));
    transaction.steps.push(rule(&base.name, base.rules[0].exprs.clone()));
    let all = refusals(socket.commit(&transaction, None));
    assert!(all.iter().all(|one| one.step != Some(0)), "{all:?}");
    assert!(all[0].reason.contains("chains call each other"), "{all:?}");
}

/// The kernel finds this only when it has taken every step, and then names the first.
#[test]
fn a_mistake_of_the_whole_is_not_blamed_on_the_first_step() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let mut transaction = table();
    let mut set = Set::over("__set0", &[KeyPart::Addr4]);
    set.flags = set_flags::ANONYMOUS | set_flags::CONSTANT;
    transaction.steps.push(Step::AddSet(set));
    let all = refusals(socket.commit(&transaction, None));
    assert_eq!((all.len(), all[0].step), (1, None), "{all:?}");
    assert_eq!(all[0].reason, "the transaction as a whole: the kernel calls it invalid");
}

#[test]
fn a_set_that_is_full_says_so() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let mut transaction = table();
    let mut set = Set::over("small", &[KeyPart::Addr4]);
    set.size = Some(2);
    set.elements = Elements::Plain((0..12).collect());
    transaction.steps.push(Step::add_set(&set));
    transaction.steps.extend(Step::elements_of(set.clone()));
    let all = refusals(socket.commit(&transaction, None));
    assert_eq!(all[0].reason, "set `small` is full");
}

#[test]
fn a_generation_that_has_passed_is_a_race() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let before = socket.generation().unwrap();
    socket.commit(&table(), Some(before)).unwrap();
    assert_eq!(socket.commit(&table(), Some(before)), Err(CommitError::Raced));
    let after = socket.generation().unwrap();
    assert_ne!(before, after);
    socket.commit(&table(), Some(after)).unwrap();
    let stale = Generation(after.0.wrapping_sub(9).max(1));
    assert_eq!(socket.commit(&table(), Some(stale)), Err(CommitError::Raced));
}

#[test]
fn a_reading_is_of_one_generation_while_others_write() {
    if skip::without_root() {
        return;
    }
    let (own, socket) = fresh();
    socket.commit(&Transaction::create(&our_table()), None).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            own.namespace().enter().unwrap();
            let socket = Socket::open(Guard::for_own_namespace(&own).unwrap()).unwrap();
            let mut swap = Transaction::on(FAMILY, "doorward");
            swap.steps.push(Step::DeleteTable);
            swap.steps.extend(Transaction::create(&our_table()).steps);
            for _ in 0..60 {
                socket.commit(&swap, None).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        while !writer.is_finished() {
            match socket.read(&Scope::Table(FAMILY, "doorward".to_owned())) {
                Ok(snapshot) => {
                    let expected = Ruleset { tables: vec![our_table()] };
                    assert_same(snapshot.ruleset, expected);
                }
                Err(KernelError::Unsettled { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        writer.join().unwrap();
    });
}

#[test]
fn large_sets_go_in_and_are_read_within_bounds() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let mut transaction = table();
    let mut hosts = Set::over("hosts", &[KeyPart::Addr4]);
    let keys: Vec<u8> = (1..=200_000u32).flat_map(u32::to_be_bytes).collect();
    hosts.size = Some(200_000);
    hosts.elements = Elements::Plain(keys.clone());
    let mut networks = Set::over("networks", &[KeyPart::Addr4]);
    networks.flags = set_flags::INTERVAL;
    let ends = u32::try_from(INTERVALS_READ / 2 + 1).unwrap();
    networks.elements = Elements::Full(
        (1..=ends)
            .flat_map(|n| {
                let start = (n * 8).to_be_bytes().to_vec();
                let end = (n * 8 + 4).to_be_bytes().to_vec();
                [Element::of(start), Element { flags: 1, ..Element::of(end) }]
            })
            .collect(),
    );
    for set in [&hosts, &networks] {
        transaction.steps.push(Step::add_set(set));
        transaction.steps.extend(Step::elements_of(set.clone()));
    }
    socket.commit(&transaction, None).unwrap();

    let snapshot = socket.read(&Scope::All).unwrap();
    let table = &snapshot.ruleset.tables[0];
    let Elements::Plain(back) = &table.set("hosts").unwrap().elements else {
        panic!("keys alone must stay one piece of memory");
    };
    let mut back: Vec<&[u8]> = back.chunks(4).collect();
    back.sort_unstable();
    assert!(back.concat() == keys);
    let unread: Vec<_> = snapshot.unread.iter().map(|name| name.set.as_str()).collect();
    assert_eq!(unread, ["networks"]);

    let all = socket.read_to(&Scope::All, Depth::Everything).unwrap();
    assert!(all.unread.is_empty());
    let count = all.ruleset.tables[0].set("networks").unwrap().elements.count(4);
    assert!(count >= 2 * ends as usize, "{count}");

    let headers = socket.read_headers(&Scope::All).unwrap();
    assert_eq!(headers.unread.len(), 2);
    assert_eq!(headers.ruleset.tables[0].set("hosts").unwrap().elements.count(4), 0);
}

#[test]
fn one_table_of_several_is_read() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    load(
        "table ip a {\nchain c {\n}\n}\ntable inet a {\nchain d {\n}\n}\ntable inet b {\nset s { type mark; }\n}\n",
    );
    let one = socket.read(&Scope::Table(FAMILY, "a".to_owned())).unwrap().ruleset;
    assert_eq!(one.tables.len(), 1);
    assert_eq!(one.tables[0].chains[0].name, "d");
    assert_eq!(read(&socket).tables.len(), 3);
    let none = socket.read(&Scope::Table(FAMILY, "z".to_owned())).unwrap().ruleset;
    assert!(none.tables.is_empty());
}

/// Inside a user namespace the send buffer cannot be forced: the error says so and says how much fits.
#[test]
fn a_user_namespace_has_little_room() {
    if skip::without_root() {
        return;
    }
    if std::env::var_os("DOORWARD_TEST_INNER").is_none() {
        let output = Command::new("unshare")
            .args(["-Urn"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "a_user_namespace_has_little_room", "--nocapture"])
            .env("DOORWARD_TEST_INNER", "1")
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (_own, socket) = fresh();
    socket.commit(&Transaction::create(&our_table()), None).unwrap();
    let mut large = table();
    let mut set = Set::over("s", &[KeyPart::Addr4]);
    set.elements = Elements::Plain(vec![0; 4 * 2_000_000]);
    large.steps.push(Step::add_set(&set));
    large.steps.extend(Step::elements_of(set.clone()));
    match socket.commit(&large, None) {
        Err(error @ CommitError::NoRoom { bytes, room }) => {
            assert!(bytes > 24_000_000 && room > 100_000 && room < bytes, "{bytes} {room}");
            let text = error.to_string();
            assert!(text.contains("SO_SNDBUFFORCE") && text.contains("user namespace"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_guard_knows_the_host_and_holds_a_thread_to_its_word() {
    if skip::without_root() {
        return;
    }
    assert!(refuse_host(false).is_ok());
    // Process 1 may be out of sight; the number that the first namespace has since Linux 6.18 is not.
    let here = NetNs::current().unwrap().id().unwrap();
    let first = std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino() == 0xefff_fff9;
    if first || NetNs::of_process(1).and_then(|host| host.id()).is_ok_and(|host| host == here) {
        assert!(refuse_host(true).is_err());
    }

    let own = OwnNetNs::make().unwrap();
    let Ok(guard) = refuse_host(true) else {
        assert!(NetNs::of_process(1).is_err(), "process 1 is in sight, and this namespace is new");
        skip::skip(
            "process 1 may not be looked at, and the kernel is too old to tell its namespace otherwise",
        );
        return;
    };
    Socket::open(guard).unwrap();
    let looked_here = refuse_host(true).unwrap();
    let made_here = Guard::for_own_namespace(&own).unwrap();
    let _other = OwnNetNs::make().unwrap();
    assert_eq!(Socket::open(looked_here).err(), Some(KernelError::Moved));
    assert_eq!(Socket::open(made_here).err(), Some(KernelError::Moved));
}

#[test]
fn abilities_are_tried_without_a_trace() {
    use doorward_kernel::abilities::{self, Ability, FILTER};
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let before = socket.generation().unwrap();
    assert_eq!(abilities::missing(&socket).unwrap(), [], "this kernel lacks something that doorward needs");
    let mut list = abilities::needed();
    list.push(Ability {
        name: "magic",
        steps: vec![rule(FILTER, vec![Expr::Unknown { name: "magic".to_owned(), data: Vec::new() }])],
    });
    list.push(Ability {
        name: "limits of nothing",
        steps: vec![rule(
            FILTER,
            vec![Expr::Limit(Limit { rate: 0, seconds: 1, burst: 0, unit: LimitUnit::Packets, over: false })],
        )],
    });
    let missing = abilities::probe(&socket, &list).unwrap();
    let names: Vec<_> = missing.iter().map(|one| (one.name, one.module.as_deref())).collect();
    assert_eq!(names, [("magic", Some("nft_magic")), ("limits of nothing", None)]);
    assert_eq!(missing[0].reason, "the kernel has no expression `magic`: needs nft_magic");
    assert_eq!(read(&socket), Ruleset::default());
    assert_eq!(socket.generation().unwrap(), before);
}

#[test]
fn the_time_that_is_left_is_read_alone() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let named = |table: &str, set: &str| doorward_kernel::SetName {
        family: FAMILY,
        table: table.to_owned(),
        set: set.to_owned(),
    };
    assert_eq!(socket.lifetimes(&named("t", "armed")).unwrap(), None);
    load(
        "table inet t {\nset armed { type mark; flags timeout; }\nset plain { type mark; elements = { 1, 2 } }\n}\n",
    );
    assert_eq!(socket.lifetimes(&named("t", "gone")).unwrap(), None);
    assert_eq!(socket.lifetimes(&named("t", "armed")).unwrap(), Some(Vec::new()));
    load("add element inet t armed { 0 timeout 90s, 1 timeout 40ms, 2 }\n");
    std::thread::sleep(std::time::Duration::from_millis(80));
    let mut all = socket.lifetimes(&named("t", "armed")).unwrap().unwrap();
    all.sort();
    let [armed, forever] = &all[..] else { panic!("{all:?}") };
    assert_eq!((&armed.key[..], armed.timeout), (&[0; 4][..], Some(90_000)));
    let left = armed.expiration.unwrap();
    assert!((60_000..90_000).contains(&left), "{left}");
    assert_eq!((forever.timeout, forever.expiration), (None, None));
    let plain = socket.lifetimes(&named("t", "plain")).unwrap().unwrap();
    assert_eq!(plain.len(), 2);
    assert!(plain.iter().all(|one| one.timeout.is_none() && one.key.len() == 4));
}
