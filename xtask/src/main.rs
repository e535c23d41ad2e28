//! The project's own chores: `cargo xtask tidy` checks the house style, `cargo xtask bench` measures, `cargo xtask man` writes.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to its developer")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod bench;
mod lex;
mod man;
mod path;
mod tidy;
mod tree;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask tidy          check the house style
       cargo xtask bench         measure beside peers, in namespaces of its own
       cargo xtask man FOLDER    write the man pages
       cargo xtask generate N    print a policy of N sentences that allow and N that block";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("tidy") => tidy::run(&root),
        Some("bench") => bench::run(&root, &args[1..]),
        Some("man") => man::run(&root, &args[1..]),
        Some("generate") => bench::generate(&args[1..]),
        Some("cost") => bench::cost(&args[1..]),
        Some("help") => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
