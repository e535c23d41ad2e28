//! `complete`: what the last word of a command line can become, for shells; says nothing where it knows nothing.

use crate::cli::{Complete, POLICY, definition};
use crate::exit::Exit;
use crate::files::Disk;
use crate::host::{Around, accounts};
use crate::terminal::Terminal;
use clap::{Arg, Command, ValueHint};
use doorward::catalogue;
use doorward::net::Proto;
use doorward::resolve::{Loaded, load};
use doorward::syntax::ast::Way;
use doorward::syntax::complete::{Candidate, Known, complete, complete_from};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The line that has the shell offer its files.
const FILES: &str = ":files";

/// A candidate a line, and behind a tab what it is.
pub(super) fn run(args: &Complete, terminal: &mut Terminal) -> Exit {
    let words: Vec<String> = args.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Some((last, before)) = words.split_last() else { return Exit::Done };
    let mut text = String::new();
    for candidate in answer(before, last) {
        let about = candidate.about.lines().next().unwrap_or_default().replace('\t', " ");
        text.extend([candidate.text.as_str(), "\t", &about, "\n"]);
    }
    terminal.raw(&text);
    Exit::Done
}

/// How far a command line has come.
struct Line {
    command: Command,
    /// Positional words of this command.
    words: Vec<String>,
    policy: PathBuf,
}

fn answer(before: &[String], last: &str) -> Vec<Candidate> {
    let mut line = Line { command: definition(), words: Vec::new(), policy: PathBuf::from(POLICY) };
    let mut before = before.iter();
    while let Some(word) = before.next() {
        if let Some(flag) = word.strip_prefix("--").and_then(|name| value_flag(&line.command, name)) {
            match before.next() {
                Some(value) if flag.get_long() == Some("policy") => line.policy = PathBuf::from(value),
                Some(_) => {}
                None => return values(flag, last),
            }
        } else if word.starts_with('-') && word.len() > 1 {
        } else if let Some(inner) = line.command.find_subcommand(word).filter(|_| line.words.is_empty()) {
            line.command = inner.clone();
        } else {
            line.words.push(word.clone());
        }
    }
    if last.starts_with('-') {
        return flags(&line.command, last);
    }
    let mut found = commands(&line, last);
    let name = line.command.get_name().to_owned();
    match name.as_str() {
        "allow" | "block" | "reject" | "trust" => {
            let mut words = vec![name.as_str()];
            words.extend(line.words.iter().map(String::as_str));
            words.push(last);
            found.extend(complete(&words, &known(&line.policy)));
        }
        "remove" => {
            let words: Vec<&str> = line.words.iter().map(String::as_str).chain([last]).collect();
            found.extend(complete_from(&words, policy(&line.policy).sentences.iter()));
        }
        "explain" => found.extend(question(&line.words, last)),
        "services" => found.extend(services().into_iter().filter(|one| one.text.starts_with(last))),
        _ => {
            let positional = line.command.get_positionals().next();
            found.extend(positional.into_iter().flat_map(|arg| values(arg, last)));
        }
    }
    found
}

/// The flag of this name, if a value stands behind it.
fn value_flag<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let takes = |arg: &&Arg| arg.get_long() == Some(name) && arg.get_action().takes_values();
    command.get_arguments().find(takes)
}

fn values(arg: &Arg, last: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && value.get_name().starts_with(last))
        .map(|value| candidate(value.get_name(), value.get_help()))
        .collect();
    if found.is_empty() && !matches!(arg.get_value_hint(), ValueHint::Unknown | ValueHint::Other) {
        found.push(candidate(FILES, None));
    }
    found
}

fn flags(command: &Command, last: &str) -> Vec<Candidate> {
    command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .filter_map(|arg| Some((format!("--{}", arg.get_long()?), arg)))
        .filter(|(name, _)| name.starts_with(last))
        .map(|(name, arg)| candidate(&name, arg.get_help()))
        .collect()
}

fn commands(line: &Line, last: &str) -> Vec<Candidate> {
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name().starts_with(last);
    let inner = line.command.get_subcommands().filter(shown);
    let inner = inner.map(|command| candidate(command.get_name(), command.get_about()));
    if line.words.is_empty() { inner.collect() } else { Vec::new() }
}

fn candidate(text: &str, about: Option<&clap::builder::StyledStr>) -> Candidate {
    Candidate { text: text.to_owned(), about: about.map(ToString::to_string).unwrap_or_default() }
}

/// The first words of a question for `explain`; addresses are for the asker to know.
fn question(before: &[String], last: &str) -> Vec<Candidate> {
    let last_word = before.last().map(String::as_str);
    let ways = Way::ALL.map(Way::word);
    let protocols = ["tcp", "udp", "sctp", "icmp", "ping", "protocol"];
    let words: Vec<&str> = match last_word {
        None => ways.into_iter().chain(protocols).collect(),
        Some(way) if before.len() == 1 && ways.contains(&way) => protocols.to_vec(),
        Some("protocol") => Proto::names().collect(),
        Some("on" | "to") => Vec::new(),
        Some(_) => vec!["on"],
    };
    let mut found: Vec<Candidate> =
        words.into_iter().filter(|word| word.starts_with(last)).map(|word| candidate(word, None)).collect();
    if let Some("on" | "to") = last_word {
        found.extend(
            interfaces().into_keys().filter(|name| name.starts_with(last)).map(|name| candidate(&name, None)),
        );
    }
    found
}

/// A policy as far as it can be read.
fn policy(path: &Path) -> Loaded {
    let disk = Disk::new(path);
    load(&disk, disk.main())
}

fn services() -> Vec<Candidate> {
    let of = |service: &catalogue::Service| Candidate {
        text: service.name.to_owned(),
        about: format!("{}: {}", service.items, service.comment),
    };
    catalogue::services().iter().map(of).collect()
}

fn interfaces() -> BTreeMap<String, String> {
    Around::ask().interfaces.into_values().map(|name| (name, "interface".to_owned())).collect()
}

fn known(path: &Path) -> Known {
    let names = |path: &str| accounts(path).into_iter().map(|(name, id)| (name, id.to_string())).collect();
    let mut known = Known {
        things: services().into_iter().map(|one| (one.text, one.about)).collect(),
        interfaces: interfaces(),
        users: names("/etc/passwd"),
        groups: names("/etc/group"),
        ..Known::default()
    };
    known.define(&policy(path).sentences);
    known
}
