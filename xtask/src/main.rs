//! The project's own chores: `cargo xtask tidy` checks the house style.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to its developer")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic))]

mod lex;
mod path;
mod tidy;
mod tree;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy    check the house style";

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::run(&root),
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
