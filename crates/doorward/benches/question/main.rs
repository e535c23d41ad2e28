//! How long a question about rules of others takes: linear tables of several sizes, medians of several rounds.
//!
//! `cargo bench -p doorward --bench question [-- --rounds N | -- --show RULES]`
//!
//! Each question begins with the tables as they are read from the kernel, and is asked about both families, one
//! after the other. Another packet is asked about each round, and another rule is the changed one.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::cast_possible_truncation)]

mod ask;
mod linear;

use ask::{doors, let_in, one_changed, one_kind, products};
use doorward::ruleset::{Hook, Ruleset};
use linear::Shape;

const SIZES: [usize; 4] = [8, 60, 200, 600];

fn main() {
    let after = |flag: &str| {
        let number = std::env::args().skip_while(|arg| arg != flag).nth(1);
        number.and_then(|n| n.parse::<usize>().ok())
    };
    if let Some(rules) = after("--show") {
        let tables = vec![linear::table(Shape::Server, rules)];
        println!("{}", doorward::emit::nft(&Ruleset { tables }));
        return;
    }
    let rounds = after("--rounds").unwrap_or(20);
    for (shape, title) in [(Shape::Server, "as on servers"), (Shape::Random, "all at random")] {
        println!("{title:<34} {:>6} {:>9} {:>9} {:>9}  answer", "rules", "least ms", "median ms", "most ms");
        for rules in SIZES {
            let tables = [linear::table(shape, rules)];
            assert_eq!(tables[0].chains[0].rules.len(), rules);
            measure("what comes in", rules, rounds, |_| let_in(&tables, Hook::Input));
            measure("does this come in, and an example", rules, rounds, |round| {
                one_kind(&tables, Hook::Input, round, true)
            });
            measure("what a changed rule changes", rules, rounds, |round| one_changed(&tables, round));
            if shape == Shape::Server {
                measure("what comes in, as products", rules, rounds, |_| products(&tables, Hook::Input));
                measure("what is open, in sentences", rules, rounds, |_| doors(&tables));
            }
        }
    }
}

/// Asks again and again; a question says how long it took and what came out.
fn measure(what: &str, rules: usize, rounds: usize, ask: impl Fn(usize) -> (f64, String)) {
    let (mut times, mut answer) = (Vec::new(), String::new());
    for round in 0..rounds {
        let (time, said) = ask(round);
        times.push(time);
        answer = said;
    }
    times.sort_by(f64::total_cmp);
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{what:<34} {rules:>6} {least:>9.2} {median:>9.2} {most:>9.2}  {answer}");
}
