//! Asks the kernel what it can do by a transaction that is bound to fail, so that nothing of it ever takes effect.

use doorward::ruleset::{
    Base, ChainKind, CmpOp, CtDir, CtKey, Dynset, DynsetOp, Expr, Fib, FibResult, Hook, KeyPart, Limit,
    LimitUnit, Log, MetaKey, NatRange, Object, ObjectKind, PayloadBase, Policy, Reg, Reject, Rule, Set, Step,
    TableFamily, Transaction, Udata, exthdr, set_flags,
};
use rustix::io::Errno;

use crate::commit::{CommitError, Refusal, Socket};

/// Name of the table that is tried and never made.
const TABLE: &str = "doorward-probe";
/// The chain for rules of filters, which each try may use.
pub const FILTER: &str = "filter";
/// The chain for rules that translate.
pub const NAT: &str = "nat";

/// Something that a firewall needs the kernel to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ability {
    /// What it is, for people: lower case.
    pub name: &'static str,
    /// What shows it. Rules may be added to [`FILTER`] and [`NAT`].
    pub steps: Vec<Step>,
}

/// An ability that the kernel does not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// What.
    pub name: &'static str,
    /// Why, and what would help.
    pub reason: String,
    /// The kernel module to load, where one is known.
    pub module: Option<String>,
}

/// Tries all that doorward needs; what is returned is missing.
///
/// The kernel loads its own modules for this where it may, and hooks an empty chain for an instant.
pub fn missing<Where>(socket: &Socket<Where>) -> Result<Vec<Missing>, CommitError> {
    probe(socket, &needed())
}

/// Tries these.
pub fn probe<Where>(socket: &Socket<Where>, abilities: &[Ability]) -> Result<Vec<Missing>, CommitError> {
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    let mut owners = Vec::new();
    for (index, ability) in abilities.iter().enumerate() {
        transaction.steps.extend(ability.steps.iter().cloned());
        owners.resize(transaction.steps.len(), index);
    }
    // The table is new, so there is no such chain: the kernel must refuse, whatever it can do.
    transaction.steps.push(Step::DeleteChain("is not there".to_owned()));
    let refusals = match socket.send(&transaction, None) {
        Err(CommitError::Refused(refusals)) => refusals,
        Err(other) => return Err(other),
        Ok(()) => return Err(CommitError::NoAnswer),
    };
    let mut missing: Vec<Missing> = Vec::new();
    for refusal in refusals {
        if refusal.errno == Errno::PERM {
            return Err(CommitError::Refused(vec![refusal]));
        }
        let owner = refusal.step.and_then(|step| owners.get(step)).and_then(|index| abilities.get(*index));
        if let Some(ability) = owner
            && missing.iter().all(|one| one.name != ability.name)
        {
            let Refusal { reason, module, .. } = refusal;
            missing.push(Missing { name: ability.name, reason, module });
        }
    }
    Ok(missing)
}

/// What doorward needs, tables and chains first.
#[must_use]
pub fn needed() -> Vec<Ability> {
    let mut all = vec![
        Ability {
            name: "tables for both families",
            steps: vec![Step::AddTable { flags: 0, udata: Udata::default() }],
        },
        Ability { name: "filtering", steps: vec![base(FILTER, ChainKind::Filter, Hook::Input, 0)] },
        Ability {
            name: "filtering in every hook",
            steps: vec![
                base("raw", ChainKind::Filter, Hook::Prerouting, -300),
                base("forward", ChainKind::Filter, Hook::Forward, -5),
                base("output", ChainKind::Filter, Hook::Output, 0),
                base("postrouting", ChainKind::Filter, Hook::Postrouting, 0),
            ],
        },
        Ability { name: "translation", steps: vec![base(NAT, ChainKind::Nat, Hook::Prerouting, -100)] },
    ];
    all.extend(
        expressions().into_iter().map(|(name, exprs)| Ability { name, steps: vec![rule(FILTER, exprs)] }),
    );
    all.push(Ability { name: "redirection", steps: vec![rule(NAT, vec![Expr::Redir(NatRange::default())])] });
    all.push(helper());
    all.extend(sets());
    all
}

fn base(name: &str, kind: ChainKind, hook: Hook, priority: i32) -> Step {
    Step::AddChain {
        name: name.to_owned(),
        base: Some(Base { kind, hook, priority, policy: Policy::Accept, devices: Vec::new() }),
        udata: Udata::default(),
    }
}

fn rule(chain: &str, exprs: Vec<Expr>) -> Step {
    Step::AddRule { chain: chain.to_owned(), rule: Rule::new(exprs) }
}

const SLOW: Limit = Limit { rate: 6, seconds: 60, burst: 6, unit: LimitUnit::Packets, over: false };

/// One rule each.
fn expressions() -> Vec<(&'static str, Vec<Expr>)> {
    let tcp = || {
        vec![
            Expr::Meta { key: MetaKey::L4proto, dreg: Reg(0) },
            Expr::Cmp { op: CmpOp::Eq, sreg: Reg(0), data: vec![6] },
        ]
    };
    let fib = |result, flags| vec![Expr::Fib(Fib { result, flags, dreg: Reg(0) })];
    let log = |log| vec![Expr::Log(log)];
    vec![
        (
            "comparisons",
            vec![
                Expr::Payload { base: PayloadBase::Transport, offset: 2, len: 2, dreg: Reg(0) },
                Expr::Range { op: CmpOp::Eq, sreg: Reg(0), from: vec![0, 1], to: vec![0, 9] },
                Expr::Counter { packets: 0, bytes: 0 },
            ],
        ),
        ("owners of sockets", vec![Expr::Meta { key: MetaKey::Skuid, dreg: Reg(0) }]),
        (
            "extension headers",
            vec![Expr::Exthdr {
                header: 44,
                offset: 0,
                len: 1,
                flags: exthdr::PRESENT,
                op: exthdr::IPV6,
                dreg: Reg(0),
            }],
        ),
        ("connection tracking", vec![Expr::Ct { key: CtKey::State, dir: None, dreg: Reg(0) }]),
        (
            "published ports",
            vec![Expr::Ct { key: CtKey::ProtoDst, dir: Some(CtDir::Original), dreg: Reg(0) }],
        ),
        (
            "marks of connections",
            vec![
                Expr::Immediate { dreg: Reg(0), data: vec![0; 4] },
                Expr::CtSet { key: CtKey::Mark, dir: None, sreg: Reg(0) },
            ],
        ),
        ("limits", vec![Expr::Limit(SLOW)]),
        ("log", log(Log { prefix: Some("doorward".to_owned()), ..Log::default() })),
        ("log to a program", log(Log { group: Some(1), ..Log::default() })),
        ("reject", vec![Expr::Reject(Reject::Icmpx(1))]),
        ("reject of tcp", [tcp(), vec![Expr::Reject(Reject::TcpReset)]].concat()),
        ("routes of sources", fib(FibResult::Oif, 1 | 8)),
        ("types of addresses", fib(FibResult::AddrType, 2)),
    ]
}

fn helper() -> Ability {
    let object = Object {
        name: "ftp".to_owned(),
        kind: ObjectKind::CtHelper { helper: "ftp".to_owned(), l3proto: 1, l4proto: 6 },
        udata: Udata::default(),
    };
    Ability { name: "the ftp helper", steps: vec![Step::AddObject(object)] }
}

fn sets() -> Vec<Ability> {
    let add = |name, set: Set| Ability { name, steps: vec![Step::AddSet(set)] };
    let with = |mut set: Set, flags| {
        set.flags |= flags;
        set
    };
    let pair = [KeyPart::L4proto, KeyPart::Port];
    let mut counted = Set::over("counted", &pair);
    counted.exprs = vec![Expr::Counter { packets: 0, bytes: 0 }];
    let mut ranges = with(Set::over("ranges", &pair), set_flags::INTERVAL | set_flags::CONCAT);
    ranges.key_parts = vec![1, 2];
    let mut meter = with(Set::over("meter", &[KeyPart::Addr4]), set_flags::TIMEOUT | set_flags::EVAL);
    meter.timeout = Some(60_000);
    let metered = rule(
        FILTER,
        vec![
            Expr::Payload { base: PayloadBase::Network, offset: 12, len: 4, dreg: Reg(0) },
            Expr::Dynset(Dynset {
                set: meter.name.clone(),
                op: DynsetOp::Update,
                key: Reg(0),
                data: None,
                timeout: None,
                invert: false,
                exprs: vec![Expr::Limit(SLOW)],
            }),
        ],
    );
    vec![
        add("verdict maps", Set::verdict_map("verdicts", &pair)),
        add("sets of networks", with(Set::over("networks", &[KeyPart::Addr6]), set_flags::INTERVAL)),
        add("sets of several ranges", ranges),
        add("counters of elements", counted),
        add("elements that expire", with(Set::over("armed", &[KeyPart::Mark]), set_flags::TIMEOUT)),
        Ability { name: "limits per source", steps: vec![Step::AddSet(meter), metered] },
    ]
}
