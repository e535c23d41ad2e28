//! Real rulesets of iptables, from the folder that `DOORWARD_CORPUS` names, proven about: how much of them is asked.
//!
//! Dumps of `iptables-save` that load here are lowered for input, forwarding and output, and the set of what each of
//! these accepts is computed. Nothing of the folder is part of this project.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use doorward::net::Family;
use doorward::prove::{Facts, Program, Slice};
use doorward::ruleset::{Base, ChainKind, Expr};
use doorward::ruleset::{Chain, Hook, Policy, Rule, Table, TableFamily, Verdict};
use doorward::space::{Field, Node, Space, Terms};
use doorward::xt::{self, Match, RecentOp, Xt};

use super::dumps::{self, Loader};
use super::oracle::{fresh, read, skip};

#[test]
fn rulesets_of_a_corpus_are_judged() {
    if skip::without_root() {
        return;
    }
    let Some(folder) = std::env::var_os("DOORWARD_CORPUS") else {
        skip::skip("`DOORWARD_CORPUS` names no folder with rulesets of iptables");
        return;
    };
    let mut folders: BTreeMap<String, Sum> = BTreeMap::new();
    for file in dumps::files(Path::new(&folder)) {
        let Some((tables, family)) = loaded(&file) else { continue };
        let name = file.parent().unwrap().strip_prefix(&folder).unwrap().display().to_string();
        let sum = folders.entry(name).or_default();
        sum.files += 1;
        let rules = tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        let fills: Vec<Rule> = rules.filter(|rule| fills_list(rule, family)).cloned().collect();
        for rule in tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules) {
            sum.rules += 1;
            sum.asking += usize::from(asks(rule, &fills, family));
        }
        let judged = judged(&tables, family);
        let took = judged.lowered + judged.computed;
        sum.longest = sum.longest.max(took);
        println!(
            "{:>6} rules {:>9.2} ms + {:>9.2} ms {:>8} nodes  {}",
            judged.rules,
            ms(judged.lowered),
            ms(judged.computed),
            judged.nodes,
            file.display()
        );
    }
    for (name, sum) in &folders {
        println!(
            "{name:<40} {:>4} files {:>6} rules {:>6} ask {:>9.2} ms",
            sum.files,
            sum.rules,
            sum.asking,
            ms(sum.longest)
        );
    }
    assert!(!folders.is_empty(), "no ruleset in {}", Path::new(&folder).display());
}

#[derive(Default)]
struct Sum {
    files: usize,
    rules: usize,
    /// Rules that ask something that no packet tells, or that is asked all the same.
    asking: usize,
    longest: Duration,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The tables of a dump that loads, and of which packets it speaks.
fn loaded(path: &Path) -> Option<(Vec<Table>, Family)> {
    let text = dumps::text(path);
    for loader in dumps::loaders(&text) {
        let Loader::Iptables(program) = loader else { continue };
        let (family, of) = match program.strip_prefix("ip6") {
            None => (Family::V4, TableFamily::Ip),
            Some(_) => (Family::V6, TableFamily::Ip6),
        };
        let (_own, socket) = fresh();
        if loader.load(&text) {
            let tables = read(&socket).tables.into_iter().filter(|table| table.family == of).collect();
            return Some((tables, family));
        }
    }
    None
}

fn family_of(family: Family) -> TableFamily {
    if family == Family::V4 { TableFamily::Ip } else { TableFamily::Ip6 }
}

/// Whether a rule adds to a list of `recent`: what nobody adds to is empty, and not asked about.
fn fills_list(rule: &Rule, family: Family) -> bool {
    rule.exprs.iter().any(|expr| {
        let found = xt::read(expr, family_of(family));
        matches!(found, Some(Xt::Match(Match::Recent(of))) if of.op == RecentOp::Set)
    })
}

/// Whether the set of packets that a rule matches depends on what is asked; other rules fill lists.
fn asks(rule: &Rule, fills: &[Rule], family: Family) -> bool {
    let base = Base {
        kind: ChainKind::Filter,
        hook: Hook::Forward,
        priority: 0,
        policy: Policy::Accept,
        devices: Vec::new(),
    };
    let mut table = Table::new(family_of(family), "one");
    let mut alone = rule.clone();
    for expr in &mut alone.exprs {
        if let Expr::Verdict(Verdict::Jump(_) | Verdict::Goto(_) | Verdict::Return) = expr {
            *expr = Expr::Verdict(Verdict::Drop);
        }
    }
    table.chains.push(Chain { rules: vec![alone], base: Some(base), ..Chain::regular("one") });
    table.chains.push(Chain { rules: fills.to_vec(), ..Chain::regular("fills") });
    let slice = Slice { hook: Hook::Forward, translated: false, nat: false };
    let mut terms = Terms::new(family);
    let program = Program::of(&[table], &[slice], &Facts::default(), &mut terms);
    let mut space = Space::new(terms).unwrap();
    let domain = space.domain();
    let (fates, _) = program.fates(&mut space, slice, domain, &|_| true).unwrap();
    let certain = |space: &mut Space, node: Node| {
        space.for_all(node, &Field::is_unknown) == space.exists(node, &Field::is_unknown)
    };
    ![fates.accepted, fates.dropped, fates.rejected, fates.queued]
        .into_iter()
        .all(|node| certain(&mut space, node))
}

struct Judged {
    rules: usize,
    lowered: Duration,
    computed: Duration,
    nodes: usize,
}

/// Computes what input, forwarding and output accept, for certain and possibly.
fn judged(tables: &[Table], family: Family) -> Judged {
    let slices =
        [Hook::Input, Hook::Forward, Hook::Output].map(|hook| Slice { hook, translated: false, nat: false });
    let rules = tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum();
    let began = Instant::now();
    let mut terms = Terms::new(family);
    let program = Program::of(tables, &slices, &Facts::default(), &mut terms);
    let lowered = began.elapsed();
    let began = Instant::now();
    let mut space = Space::new(terms).unwrap();
    for slice in slices {
        let domain = space.domain();
        let (fates, _) = program.fates(&mut space, slice, domain, &|_| true).unwrap();
        let possible = space.exists(fates.accepted, &Field::is_unknown);
        let certain = space.for_all(fates.accepted, &Field::is_unknown);
        let impossible = space.minus(certain, possible);
        assert!(impossible.is_empty());
    }
    Judged { rules, lowered, computed: began.elapsed(), nodes: space.size() }
}
