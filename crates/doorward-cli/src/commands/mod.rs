//! The commands, one module each; what they decide is decided in the library.

mod apply;
mod audit;
mod boot;
mod brief;
mod check;
mod complete;
mod confirm;
mod doctor;
mod enable;
mod ended;
mod explain;
mod export;
mod first;
mod fmt;
mod generations;
mod hearing;
mod list;
mod log;
mod plan;
mod rehearse;
mod sentence;
mod services;
#[cfg(debug_assertions)]
mod session;
mod short;
mod show;
mod status;
mod told;
mod verify;
mod watch;

use brief::Kind;

use crate::cli::{Cli, Command, List, Listable};
use crate::exit::{Exit, Stop};
use crate::init::Host;
use crate::json;
use crate::terminal::Terminal;

/// How a command went: an exit code, or why it could not be done.
type Outcome = Result<Exit, Stop>;

/// Does what was asked.
pub(crate) fn run(said: Cli, terminal: &mut Terminal) -> Exit {
    let Cli { state, root, command } = said;
    if let Command::Apply(_)
    | Command::Allow(_)
    | Command::Block(_)
    | Command::Reject(_)
    | Command::Trust(_)
    | Command::Remove(_)
    | Command::Init(_)
    | Command::Panic(_)
    | Command::Open(_)
    | Command::Boot(_)
    | Command::Confirm(_)
    | Command::Rollback(_) = command
    {
        terminal.tells_of_deeds();
    }
    let host = Host::new(&root);
    let (outcome, json) = match command {
        Command::Apply(args) => (apply::run(&args, &state, terminal), args.output.json),
        Command::Allow(args) => (sentence::add("allow", &args, &state, terminal), args.output.json),
        Command::Block(args) => (sentence::add("block", &args, &state, terminal), args.output.json),
        Command::Reject(args) => (sentence::add("reject", &args, &state, terminal), args.output.json),
        Command::Trust(args) => (sentence::add("trust", &args, &state, terminal), args.output.json),
        Command::Remove(args) => (sentence::remove(&args, &state, terminal), args.output.json),
        Command::Panic(args) => (brief::run(Kind::Panic, &args, &state, terminal), args.output.json),
        Command::Open(args) => (brief::run(Kind::Open, &args, &state, terminal), args.output.json),
        Command::Audit(args) => (audit::run(&args, &state, terminal), args.output.json),
        Command::Doctor(args) => (doctor::run(&args, &state, &host, terminal), args.output.json),
        Command::Init(args) => (first::run(&args, &state, &host, terminal), args.output.json),
        Command::Boot(output) => (boot::run(output, &state, terminal), output.json),
        Command::Enable(output) => (enable::enable(output, &state, &host, terminal), output.json),
        Command::Disable(args) => (enable::disable(&args, &state, &host, terminal), args.output.json),
        Command::Confirm(args) => (confirm::run(&args, &state, &host, terminal), args.output.json),
        Command::Rollback(args) => {
            let outcome = match args.generation {
                Some(generation) => apply::earlier(&args, generation, &state, terminal),
                None => confirm::roll_back(args.output, &state, terminal),
            };
            (outcome, args.output.json)
        }
        Command::Complete(args) => (Ok(complete::run(&args, terminal)), false),
        Command::Explain(args) => (explain::run(&args, terminal), args.output.json),
        Command::Export(args) => (export::run(&args, terminal), false),
        Command::Fmt(args) => (fmt::run(&args, terminal), args.output.json),
        Command::Log(args) => (log::run(&args, terminal), args.output.json),
        Command::Watch => (watch::run(&state), false),
        Command::Show(args) => (show::run(&args, terminal), args.output.json),
        Command::Status(args) => (status::run(&args, &state, &host, terminal), args.output.json),
        Command::Check(args) => (check::run(&args, terminal), args.output.json),
        Command::List(List { what: Some(Listable::Services { output, word }), .. }) => {
            (services::run(word.as_deref(), output, terminal), output.json)
        }
        Command::Plan(args) => (plan::run(&args, &state, terminal), args.policy.output.json),
        Command::Verify(args) => (verify::run(&args, &state, terminal), args.output.json),
        Command::Rehearse(args) => (rehearse::run(&args, terminal), args.policy.output.json),
        #[cfg(debug_assertions)]
        Command::Session => (session::run(terminal), true),
        Command::List(List { policy, what: None }) => (list::run(&policy, terminal), policy.output.json),
    };
    match outcome {
        Ok(exit) | Err(Stop::Said(exit)) => exit,
        Err(Stop::Failed(failure)) => {
            if json {
                terminal.json(&json::failure(&failure));
            } else {
                terminal.failure(&failure);
            }
            failure.exit
        }
    }
}
