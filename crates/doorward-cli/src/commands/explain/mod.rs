//! `explain`: what happens to one imagined packet, who says so, and which rules it passes; changes nothing.

mod answer;
mod json;
mod look;
mod show;

use super::Outcome;
use crate::cli::{Explain, POLICY};
use crate::exit::{Exit, Failure};
use crate::host;
use crate::kernel::Comment;
use crate::terminal::Terminal;
use answer::{Answer, Program};
use doorward::explain::{self, Asked, Wrong};
use doorward::resolve::model::Way;
use doorward::ruleset::Table;
use look::Looked;
use std::borrow::Cow;
use std::path::Path;

pub(super) fn run(args: &Explain, terminal: &mut Terminal) -> Outcome {
    let words: Vec<Cow<str>> = args.words.iter().map(|word| word.to_string_lossy()).collect();
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let Asked { question, file } = explain::read(&words).map_err(|wrong| usage(&wrong))?;
    let ends: Vec<_> = question.from.into_iter().chain(question.to).collect();
    let facts = host::surroundings(&ends, question.way == Way::Out);
    let assumed = explain::assume(&question, &facts).map_err(|wrong| usage(&wrong))?;
    let file = file.and_then(|at| args.words.get(at)).map(Path::new);
    let looked = match file {
        Some(file) => Looked::policy(file, &facts, args.output.json, terminal)?,
        None => Looked::kernel(Path::new(POLICY), &facts, args.output.json, terminal)?,
    };
    let answer = Answer::to(assumed, &facts, looked, args.whole_kernel)?;
    if args.output.json {
        terminal.json(&json::answer(&answer));
    } else {
        show::answer(&answer, args.path, terminal);
    }
    Ok(if answer.disagreement.is_some() { Exit::False } else { Exit::Done })
}

/// Who decides about a packet in our rules as the kernel has them; none where that cannot be told.
pub(super) fn decider(words: &[String], table: &Table) -> Option<Comment> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let question = explain::read(&words).ok()?.question;
    let ends: Vec<_> = question.from.into_iter().chain(question.to).collect();
    let facts = host::surroundings(&ends, question.way == Way::Out);
    let assumed = explain::assume(&question, &facts).ok()?;
    let packet = explain::packet(&assumed.connection, &answer::surroundings(&assumed, &facts));
    Program::of(table, &packet, &answer::style(&facts)).run(false).by()
}

fn usage(wrong: &Wrong) -> Failure {
    wrong.ways_out.iter().fold(Failure::new(Exit::Usage, &wrong.message), Failure::way_out)
}
