//! Says for people why the kernel refused a step; knows the kernel's habits, and no policy.

use doorward::ruleset::{ChainKind, Expr, ObjectKind, Step, TableFamily, Transaction, Verdict};
use rustix::io::Errno;

use crate::encode::name_of;
use crate::place::Place;

/// The reason, and the kernel module that may be missing.
pub(crate) fn of(
    transaction: &Transaction,
    step: Option<usize>,
    place: Option<&Place>,
    errno: Errno,
    text: Option<&str>,
) -> (String, Option<String>) {
    let step = step.and_then(|index| transaction.steps.get(index));
    let (reason, module) = match step {
        _ if errno == Errno::PERM => (
            "not permitted: this needs root (CAP_NET_ADMIN), and the table must not belong to another program"
                .to_owned(),
            None,
        ),
        Some(Step::AddRule { chain, rule }) => rule_reason(transaction, chain, &rule.exprs, place, errno),
        Some(step) => step_reason(transaction, step, place, errno),
        None => (format!("the transaction as a whole: {}", said(errno)), None),
    };
    let reason = match text {
        Some(text) if !text.is_empty() => format!("{reason} (kernel: {text})"),
        _ => reason,
    };
    (reason, module)
}

/// What an error number says by itself.
fn said(errno: Errno) -> String {
    match errno {
        Errno::NOENT => "something that it names is not there".to_owned(),
        Errno::EXIST => "it is there already, and different".to_owned(),
        Errno::BUSY => "it is in use".to_owned(),
        Errno::INVAL => "the kernel calls it invalid".to_owned(),
        Errno::OPNOTSUPP => "the kernel cannot do this here".to_owned(),
        Errno::NOMEM | Errno::NOBUFS => "the kernel has not enough memory".to_owned(),
        Errno::NFILE | Errno::NOSPC => "there is no more room in it".to_owned(),
        Errno::MFILE | Errno::MLINK => "chains call each other too deeply".to_owned(),
        Errno::LOOP => "chains call each other in a circle".to_owned(),
        Errno::RANGE => "a number is out of range".to_owned(),
        Errno::AFNOSUPPORT => "the kernel does not know this family of tables".to_owned(),
        other => other.to_string(),
    }
}

fn needs(what: &str, module: impl Into<String>) -> (String, Option<String>) {
    let module = module.into();
    (format!("the kernel has no {what}: needs {module}"), Some(module))
}

fn rule_reason(
    transaction: &Transaction,
    chain: &str,
    exprs: &[Expr],
    place: Option<&Place>,
    errno: Errno,
) -> (String, Option<String>) {
    let expr = match place {
        Some(Place::Expr { index, .. }) => exprs.get(*index),
        _ => None,
    };
    match (expr, errno) {
        (Some(expr), Errno::NOENT) => match named(expr) {
            Some(what) => (format!("there is no {what}"), None),
            None => needs(&format!("expression `{}`", name_of(expr)), module_of(transaction.family, expr)),
        },
        (Some(expr), Errno::OPNOTSUPP) => {
            let module = module_of(transaction.family, expr);
            (
                format!("the kernel cannot do `{}` in this chain, or lacks {module}", name_of(expr)),
                Some(module),
            )
        }
        (Some(expr), errno) => (format!("`{}`: {}", name_of(expr), said(errno)), None),
        (None, Errno::NOENT) => match place {
            Some(Place::Table) => (no_table(transaction), None),
            Some(Place::Name) => (format!("there is no chain `{chain}`"), None),
            // Kernels before 5.18 do not say which expression they lack.
            _ => (
                format!("in chain `{chain}`, {}", said(errno)),
                exprs
                    .iter()
                    .filter(|expr| named(expr).is_none())
                    .map(|expr| module_of(transaction.family, expr))
                    .find(|module| module != "nf_tables"),
            ),
        },
        (None, errno) => (format!("in chain `{chain}`, {}", said(errno)), None),
    }
}

/// What an expression names, with its kind.
fn named(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lookup { set, .. } | Expr::ObjrefMap { set, .. } => Some(format!("set `{set}`")),
        Expr::Dynset(dynset) => Some(format!("set `{}`", dynset.set)),
        Expr::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(format!("chain `{chain}`")),
        Expr::Objref { name, .. } => Some(format!("object `{name}`")),
        _ => None,
    }
}

fn no_table(transaction: &Transaction) -> String {
    format!("there is no table `{}`", transaction.table)
}

fn step_reason(
    transaction: &Transaction,
    step: &Step,
    place: Option<&Place>,
    errno: Errno,
) -> (String, Option<String>) {
    if errno == Errno::NOENT && place == Some(&Place::Table) {
        return (no_table(transaction), None);
    }
    match step {
        Step::AddTable { .. } => match errno {
            Errno::AFNOSUPPORT | Errno::OPNOTSUPP => {
                needs("tables of this family", family_module(transaction.family))
            }
            _ => (format!("table `{}`: {}", transaction.table, said(errno)), None),
        },
        Step::DeleteTable => (
            match errno {
                Errno::NOENT => no_table(transaction),
                _ => format!("table `{}`: {}", transaction.table, said(errno)),
            },
            None,
        ),
        Step::AddChain { name, base, .. } => match (base, errno) {
            (Some(base), Errno::NOENT | Errno::OPNOTSUPP) if base.kind == ChainKind::Nat => {
                needs("chains of type `nat`", "nft_chain_nat")
            }
            (Some(base), Errno::NOENT) if !base.devices.is_empty() => {
                (format!("chain `{name}`: there is no interface `{}`", base.devices.join("`, `")), None)
            }
            _ => (format!("chain `{name}`: {}", said(errno)), None),
        },
        Step::FlushChain(name) | Step::DeleteChain(name) => (
            match errno {
                Errno::NOENT => format!("there is no chain `{name}`"),
                Errno::BUSY => format!("chain `{name}` is still called, or has rules"),
                _ => format!("chain `{name}`: {}", said(errno)),
            },
            None,
        ),
        Step::AddSet(set) => (
            match errno {
                Errno::EXIST => {
                    format!("set `{}` is there already, and made differently", set.name)
                }
                Errno::OPNOTSUPP => format!("the kernel has no set that can be like `{}`", set.name),
                _ => format!("set `{}`: {}", set.name, said(errno)),
            },
            None,
        ),
        Step::FlushSet(set) | Step::DeleteSet(set) => (
            match errno {
                Errno::NOENT => format!("there is no set `{set}`"),
                Errno::BUSY => format!("set `{set}` is still looked into"),
                _ => format!("set `{set}`: {}", said(errno)),
            },
            None,
        ),
        Step::AddElements { set, .. } | Step::DeleteElements { set, .. } => {
            (element_reason(step, set, place, errno), None)
        }
        Step::AddRule { .. } => (said(errno), None),
        Step::AddObject(object) => match (&object.kind, errno) {
            (ObjectKind::CtHelper { helper, .. }, Errno::NOENT) => needs(
                &format!("conntrack helper `{helper}`"),
                format!("nf_conntrack_{}", helper.replace('-', "_")),
            ),
            (kind, Errno::OPNOTSUPP) => needs("such objects", object_module(kind)),
            _ => (format!("object `{}`: {}", object.name, said(errno)), None),
        },
        Step::DeleteObject { name, .. } => (
            match errno {
                Errno::NOENT => format!("there is no object `{name}`"),
                Errno::BUSY => format!("object `{name}` is still used"),
                _ => format!("object `{name}`: {}", said(errno)),
            },
            None,
        ),
    }
}

fn element_reason(step: &Step, set: &str, place: Option<&Place>, errno: Errno) -> String {
    let which = match place {
        Some(Place::Element(index)) => format!("element {} of set `{set}`", index + 1),
        _ => format!("an element of set `{set}`"),
    };
    match (errno, place) {
        (Errno::NOENT, Some(Place::Name)) => format!("there is no set `{set}`"),
        (Errno::NOENT, _) if matches!(step, Step::DeleteElements { .. }) => {
            format!("{which} is not there")
        }
        (Errno::NOENT, None) => format!("there is no set `{set}`, or something that an element names"),
        (Errno::NOENT, _) => format!("{which} names something that is not there"),
        (Errno::EXIST, _) => format!("{which} is there already, or overlaps another"),
        (Errno::NFILE | Errno::NOSPC, _) => format!("set `{set}` is full"),
        _ => format!("{which}: {}", said(errno)),
    }
}

fn family_module(family: TableFamily) -> &'static str {
    match family {
        TableFamily::Inet => "nf_tables with CONFIG_NF_TABLES_INET",
        TableFamily::Netdev => "nf_tables with CONFIG_NF_TABLES_NETDEV",
        TableFamily::Bridge => "nf_tables_bridge",
        _ => "nf_tables with this family",
    }
}

fn object_module(kind: &ObjectKind) -> &'static str {
    match kind.number() {
        2 => "nft_quota",
        3 | 7 | 9 => "nft_ct",
        4 => "nft_limit",
        5 => "nft_connlimit",
        6 => "nft_tunnel",
        10 => "nft_synproxy",
        _ => "nf_tables",
    }
}

/// The module in which the kernel keeps an expression.
pub(crate) fn module_of(family: TableFamily, expr: &Expr) -> String {
    let by_family = |stem: &str| {
        let end = match family {
            TableFamily::Ip => "ipv4",
            TableFamily::Ip6 => "ipv6",
            TableFamily::Netdev => "netdev",
            TableFamily::Bridge => "bridge",
            _ => "inet",
        };
        format!("{stem}_{end}")
    };
    match name_of(expr) {
        "log" if matches!(expr, Expr::Log(log) if log.group.is_some()) => "nfnetlink_log".to_owned(),
        "meta" if family == TableFamily::Bridge => "nft_meta_bridge".to_owned(),
        "meta" | "payload" | "exthdr" | "cmp" | "range" | "bitwise" | "byteorder" | "immediate"
        | "lookup" | "dynset" | "counter" | "last" | "objref" | "rt" | "inner" => "nf_tables".to_owned(),
        "ct" | "notrack" => "nft_ct".to_owned(),
        name @ ("fib" | "reject" | "dup" | "fwd") => by_family(&format!("nft_{name}")),
        "match" | "target" => "nft_compat".to_owned(),
        name => format!("nft_{name}"),
    }
}
