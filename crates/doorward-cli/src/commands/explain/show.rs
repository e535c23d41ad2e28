//! An answer for people: the verdict, who says so, what it depends on, and the way of the packet; decides nothing.

use super::answer::{Answer, Others, chain_of, word};
use super::look::Source;
use crate::expectations;
use crate::kernel::Comment;
use crate::terminal::Terminal;
use crate::text::{Cell, Line, Tone, WIDTH, cell, count, table, wrap};
use doorward::explain::{Base, Event, Led, Step};
use doorward::net::How;
use doorward::trace::End;

pub(super) fn answer(answer: &Answer, path: bool, terminal: &mut Terminal) {
    let verdict = answer.verdict();
    headline(answer, verdict, terminal);
    if let Some(words) = &answer.disagreement {
        shout(words, &answer.source, terminal);
    }
    let mut rows: Vec<[String; 2]> = vec![[format!("{} by:", word(answer.end)), by(answer)]];
    let translated: Vec<String> = answer.translated.iter().map(translated).collect();
    rows.extend(labelled("translated:", &translated));
    if let Some(others) = &answer.others {
        rows.extend(labelled("others:", &[conclusion(answer.end, others)]));
    }
    rows.extend(labelled("assumed:", &answer.assumed.lines));
    rows.extend(labelled("depends on:", &depends(answer)));
    if !path {
        rows.extend(labelled("path:", &[route(&all_steps(answer))]));
        rows.extend(labelled("decided at:", &decided_at(&answer.steps)));
    }
    rows.extend(labelled("looked at:", &[looked_at(&answer.source)]));
    rows.extend(labelled("note:", &answer.notes));
    terminal.lines(laid_out(&rows));
    if path {
        terminal.line("");
        terminal.lines(rules(&all_steps(answer), 2));
    }
    if let Some(others) = &answer.others {
        terminal.line("");
        everybody(others, path, terminal);
    }
}

fn headline(answer: &Answer, verdict: End, terminal: &mut Terminal) {
    let packet = format!("{}: ", answer.assumed.connection);
    let lines = wrap(&format!("{packet}{}", word(verdict)), WIDTH);
    let last = lines.len().saturating_sub(1);
    for (at, line) in lines.iter().enumerate() {
        let indent = if at > 0 { "  " } else { "" };
        let words = line.strip_suffix(word(verdict)).filter(|_| at == last);
        let line = match words {
            Some(before) => {
                Line::of(Tone::Strong, format!("{indent}{before}")).and(tone(verdict), word(verdict))
            }
            None => Line::of(Tone::Strong, format!("{indent}{line}")),
        };
        terminal.line(line);
    }
}

fn shout(words: &str, source: &Source, terminal: &mut Terminal) {
    let way_out = match source {
        Source::Policy(_) => "this is a mistake of doorward: please report it, with the policy",
        Source::Kernel(_) => {
            "what is in force is not what the policy says: `doorward apply` puts it in force"
        }
    };
    for line in wrap(&format!("DISAGREEMENT: {words}"), WIDTH) {
        terminal.line(Line::of(Tone::Bad, line));
    }
    for line in wrap(way_out, WIDTH - 2) {
        terminal.line(format!("  {line}"));
    }
}

/// What becomes of one end, and who says so.
fn translated(led: &Led) -> String {
    let by = led.by.as_deref().map(|by| format!(" by {}", origin(by))).unwrap_or_default();
    format!("{}{by}", led.to.becomes())
}

/// The rules that it meets, in the order in which it meets them.
pub(super) fn all_steps(answer: &Answer) -> Vec<Step> {
    let of = |leaving: bool| {
        answer
            .translated
            .iter()
            .filter(move |led| is_source(led) == leaving)
            .flat_map(|led| led.steps.clone())
    };
    of(false).chain(answer.steps.clone()).chain(of(true)).collect()
}

fn is_source(led: &Led) -> bool {
    matches!(led.to.how, How::Source | How::Masquerade)
}

/// Who says so; the policy's words where there is one, as it knows its own place best.
fn by(answer: &Answer) -> String {
    match (&answer.judged, &answer.by) {
        (Some(judged), _) if answer.disagreement.is_none() && super::answer::agrees(answer, judged) => {
            expectations::decided(&judged.judgement).1
        }
        (_, Some(comment)) => said(comment),
        (_, None) => "the kernel's rules, which do not say why".to_owned(),
    }
}

fn said(comment: &Comment) -> String {
    match comment {
        Comment::Sentence { place, sentence } => format!("{place}  {sentence}"),
        Comment::BuiltIn(what) => format!("built in  {what}"),
    }
}

fn depends(answer: &Answer) -> Vec<String> {
    let mut all = depends_of_ours(answer);
    for (questions, end) in answer.others.iter().flat_map(|others| &others.depends) {
        all.push(format!("{}: otherwise {}", questions.join(" and "), word(*end)));
    }
    all
}

fn depends_of_ours(answer: &Answer) -> Vec<String> {
    if let Some(judged) = &answer.judged {
        let line = |one: &doorward::explain::Depends| {
            let (words, by) = expectations::decided(&one.judgement);
            format!("{}: {words} by {by}", one.when)
        };
        return judged.depends.iter().map(line).collect();
    }
    let line = |(end, by): &(End, Option<Comment>)| {
        let by = by.as_ref().map(|comment| format!(" by {}", said(comment))).unwrap_or_default();
        format!("above the limit: {}{by}", word(*end))
    };
    answer.spent.iter().map(line).collect()
}

/// The chains that it comes through, each where it is first entered.
fn route(steps: &[Step]) -> String {
    let mut chains: Vec<&str> = Vec::new();
    for step in steps {
        if !chains.contains(&step.chain.as_str()) {
            chains.push(&step.chain);
        }
    }
    chains.join(" → ")
}

/// The last rule or element that whoever decided stands behind.
fn decided_at(steps: &[Step]) -> Vec<String> {
    let effective = || steps.iter().rev().filter(|step| step.event != Event::Missed);
    let counted = effective().find_map(|step| step.counted.as_ref());
    let found = counted.and_then(|by| {
        effective().find_map(|step| {
            let found = step.matches.iter().rev().find(|found| found.comment.as_ref() == Some(by));
            Some((step, element(found?)?))
        })
    });
    let Some(step) =
        effective().find(|step| step.counted.is_some() || counted.is_none() && step.comment.is_some())
    else {
        return Vec::new();
    };
    let (step, text) = found.unwrap_or_else(|| (step, step.text.clone()));
    vec![format!("{}, rule {}: {text}", step.chain, step.rule)]
}

/// `443 in g1_allow_1`
fn element(found: &doorward::explain::Match) -> Option<String> {
    let element = found.element.as_deref()?;
    Some(if found.set.is_empty() { element.to_owned() } else { format!("{element} in {}", found.set) })
}

fn looked_at(source: &Source) -> String {
    match source {
        Source::Policy(file) => format!("the program that {file} compiles to"),
        Source::Kernel(generation) => format!("the rules in the kernel, generation {generation}"),
    }
}

fn labelled(label: &str, lines: &[String]) -> Vec<[String; 2]> {
    let label = |at: usize| if at == 0 { label.to_owned() } else { String::new() };
    lines.iter().enumerate().map(|(at, line)| [label(at), line.clone()]).collect()
}

fn laid_out(rows: &[[String; 2]]) -> Vec<Line> {
    let rows: Vec<Vec<Cell>> = rows
        .iter()
        .map(|[label, text]| vec![cell(Tone::Faint, label.as_str()), cell(Tone::Plain, text.as_str())])
        .collect();
    table(2, &[1], &rows)
}

/// Each rule with what became of it, and below it where it came from.
fn rules(steps: &[Step], indent: usize) -> Vec<Line> {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for step in steps {
        let missed = step.event == Event::Missed;
        let tone = if missed { Tone::Faint } else { Tone::Plain };
        let place = format!("{} {}", step.chain, step.rule);
        rows.push(vec![cell(tone, place), cell(tone, event(&step.event)), cell(tone, step.text.as_str())]);
        if missed {
            continue;
        }
        let mut below = |text: String| {
            rows.push(vec![cell(tone, ""), cell(tone, ""), cell(Tone::Strong, text)]);
        };
        for found in &step.matches {
            let words = [element(found), found.comment.as_deref().map(origin)];
            below(words.into_iter().flatten().collect::<Vec<_>>().join(": "));
        }
        match &step.event {
            Event::Jumped(chain) | Event::Went(chain) if !step.text.contains(chain.as_str()) => {
                below(format!("to {chain}"));
            }
            _ => {}
        }
        if let Some(comment) = &step.comment {
            below(origin(comment));
        }
    }
    table(indent, &[2], &rows)
}

fn origin(comment: &str) -> String {
    Comment::read(comment).as_ref().map_or_else(|| comment.to_owned(), said)
}

/// Where it leads stands in the rule.
fn event(event: &Event) -> &'static str {
    match event {
        Event::Missed => "no",
        Event::Passed | Event::Jumped(_) | Event::Went(_) => "yes",
        Event::Returned => "back",
        Event::Accepted => "accepts",
        Event::Dropped => "drops",
        Event::Rejected => "rejects",
        Event::Queued => "hands over",
        Event::Translated => "translates",
        Event::Stopped => "cannot run",
    }
}

/// All base chains in their order.
fn everybody(others: &Others, path: bool, terminal: &mut Terminal) {
    terminal.line(Line::of(Tone::Strong, "all chains that it meets, in their order"));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for base in &others.passage.bases {
        let Some(table) = others.tables.get(base.table) else { continue };
        rows.push(vec![
            cell(Tone::Plain, format!("{} {}", base.hook.word(), base.priority)),
            cell(Tone::Plain, chain_of(table, &base.chain)),
            cell(tone(base.end), word(base.end)),
            cell(Tone::Faint, if base.table == others.ours { String::new() } else { why(base) }),
        ]);
    }
    terminal.lines(table(2, &[3], &rows));
    if path {
        for base in others.passage.bases.iter().filter(|base| base.table != others.ours) {
            if let Some(table) = others.tables.get(base.table) {
                terminal.line("");
                terminal.line(format!("  {}", chain_of(table, &base.chain)));
                terminal.lines(rules(&base.steps, 4));
            }
        }
    }
}

/// What follows from everybody's rules for ours.
fn conclusion(ours: End, others: &Others) -> String {
    let last = others.passage.bases.last().filter(|_| others.passage.end != End::Accepted);
    let foreign = others.passage.bases.iter().filter(|base| base.table != others.ours).count();
    match last {
        Some(base) if base.table != others.ours => {
            let place = others.tables.get(base.table).map(|table| chain_of(table, &base.chain));
            let place = place.unwrap_or_default();
            let verb = match base.end {
                End::Dropped => "drops it",
                End::Rejected => "rejects it",
                End::Queued => "leaves it to another program",
                _ => "cannot be run",
            };
            let although = if ours == End::Accepted { ", although doorward lets it in" } else { "" };
            format!("{place} {verb}{although}")
        }
        Some(_) => "doorward ends it, whatever others would say".to_owned(),
        None if foreign == 0 => "nobody else has a say".to_owned(),
        None if foreign == 1 => "1 chain of others lets it pass as well".to_owned(),
        None => format!("{} of others let it pass as well", count(foreign, "chain")),
    }
}

/// The rule that decided, or that none did.
fn why(base: &Base) -> String {
    match base.steps.iter().rev().find(|step| step.event != Event::Missed) {
        _ if base.by_policy => "no rule decides, so its policy".to_owned(),
        Some(step) if step.chain == base.chain => format!("rule {}: {}", step.rule, step.text),
        Some(step) => format!("{} rule {}: {}", step.chain, step.rule, step.text),
        None => String::new(),
    }
}

fn tone(end: End) -> Tone {
    match end {
        End::Accepted => Tone::Good,
        End::Dropped | End::Rejected => Tone::Bad,
        End::Queued | End::Stopped(_) => Tone::Doubtful,
    }
}
