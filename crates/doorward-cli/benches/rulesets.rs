//! How long a question about real rulesets takes: medians of several rounds, for each ruleset that loads here.
//!
//! `DOORWARD_CORPUS=FOLDER cargo bench -p doorward-cli --bench rulesets [-- --rounds N]`
//!
//! What lies below that folder is loaded by its own programs (`nft`, `iptables-nft-restore`) into a network of its own
//! and read back; none of it is part of this project. A question begins with the tables as they were read, and is
//! asked about both families, one after the other. Input, forwarding and output are a question each.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::cast_possible_truncation)]

#[path = "../../doorward/benches/question/ask.rs"]
#[allow(dead_code)]
mod ask;
#[path = "../../../tests/support/dumps.rs"]
mod dumps;
#[path = "../../doorward/benches/question/linear.rs"]
#[allow(dead_code)]
mod linear;
#[path = "../../doorward-kernel/tests/common/mod.rs"]
mod oracle;

use doorward::ruleset::{Hook, Table};
use doorward_kernel::Scope;
use std::path::Path;

const HOOKS: [Hook; 3] = [Hook::Input, Hook::Forward, Hook::Output];
/// The questions, and how many milliseconds each may take on a server.
const QUESTIONS: [(&str, f64); 4] = [
    ("what passes", 10.0),
    ("does this pass, and an example", 10.0),
    ("what a changed rule changes", 10.0),
    ("what passes, as products", f64::INFINITY),
];
/// Rulesets are told by their number of rules, up to these.
const SIZES: [usize; 6] = [10, 50, 150, 300, 600, usize::MAX];

/// What a ruleset took: the medians of each question, in milliseconds. Of hooks, that which took longest.
struct Asked {
    name: String,
    rules: usize,
    medians: [f64; QUESTIONS.len()],
}

fn main() {
    let Some(folder) = std::env::var_os("DOORWARD_CORPUS") else {
        println!("nothing is measured: DOORWARD_CORPUS names no folder with rulesets");
        return;
    };
    let mut words = std::env::args().skip_while(|word| word != "--rounds").skip(1);
    let rounds = words.next().and_then(|number| number.parse().ok()).unwrap_or(20);
    let mut all = Vec::new();
    for path in dumps::files(Path::new(&folder)) {
        let Some(tables) = loaded(&path) else { continue };
        let name = path.strip_prefix(&folder).unwrap().display().to_string();
        all.push(asked(name, &tables, rounds));
    }
    assert!(!all.is_empty(), "no ruleset loads here");
    tell(&all);
}

/// What a file loads, if it is a ruleset and all of it is read.
fn loaded(path: &Path) -> Option<Vec<Table>> {
    let text = dumps::text(path);
    for loader in dumps::loaders(&text) {
        let (_own, socket) = oracle::fresh();
        if loader.load(&text) {
            let snapshot = socket.read(&Scope::All).ok()?;
            let whole = snapshot.unread.is_empty() && !snapshot.ruleset.tables.is_empty();
            return whole.then_some(snapshot.ruleset.tables);
        }
    }
    None
}

fn asked(name: String, tables: &[Table], rounds: usize) -> Asked {
    let most = |ask: &dyn Fn(Hook, usize) -> (f64, String)| {
        let each = HOOKS.map(|hook| median((0..rounds).map(|round| ask(hook, round).0).collect()));
        each.into_iter().fold(0.0, f64::max)
    };
    let medians = [
        most(&|hook, _| ask::let_in(tables, hook)),
        most(&|hook, round| ask::one_kind(tables, hook, round, false)),
        median((0..rounds).map(|round| ask::one_changed(tables, round).0).collect()),
        most(&|hook, _| ask::products(tables, hook)),
    ];
    let rules = tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum();
    Asked { name, rules, medians }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn tell(all: &[Asked]) {
    for (question, (title, most)) in QUESTIONS.iter().enumerate() {
        println!(
            "{title:<32} {:>10} {:>9} {:>9} {:>9} {:>6}",
            "rulesets", "median ms", "9 of 10", "most ms", "over"
        );
        let mut from = 0;
        for to in SIZES {
            let some: Vec<&Asked> = all.iter().filter(|one| (from..=to).contains(&one.rules)).collect();
            let mut times: Vec<f64> = some.iter().map(|one| one.medians[question]).collect();
            times.sort_by(f64::total_cmp);
            if let (Some(longest), size) = (times.last(), times.len()) {
                let title = if to == usize::MAX {
                    format!("{from} rules and more")
                } else {
                    format!("{from} to {to} rules")
                };
                let over = times.iter().filter(|time| *time > most).count();
                println!(
                    "{title:<32} {size:>10} {:>9.2} {:>9.2} {longest:>9.2} {over:>6}",
                    times[size / 2],
                    times[size * 9 / 10]
                );
            }
            from = to.saturating_add(1);
        }
        for one in all.iter().filter(|one| one.rules <= 600 && one.medians[question] > *most) {
            println!("    {:>5} rules {:>9.2} ms  {}", one.rules, one.medians[question], one.name);
        }
    }
}
