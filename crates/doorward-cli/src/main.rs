//! The command: reads its arguments, does one thing, says how it went.

mod change;
mod cli;
mod commands;
mod exit;
mod expectations;
mod files;
mod folder;
mod host;
mod init;
mod json;
mod kernel;
mod load;
mod lock;
mod needless;
mod policy;
mod rehearse;
mod session;
mod side;
mod signs;
mod since;
#[cfg(test)]
#[path = "../../../tests/support/skip.rs"]
mod skip;
mod store;
mod survey;
mod terminal;
mod text;
mod traffic;

use std::process::ExitCode;
use terminal::Terminal;

fn main() -> ExitCode {
    let mut terminal = Terminal::new();
    let exit = match cli::parse(std::env::args_os()) {
        Ok(said) => commands::run(said, &mut terminal),
        Err(shown) => terminal.usage(&shown),
    };
    terminal.finish(exit).into()
}
