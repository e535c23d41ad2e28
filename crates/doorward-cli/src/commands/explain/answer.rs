//! Puts a question to the meaning, to our program and to the whole kernel, and holds them together; says nothing.

use super::look::{self, Looked, Source};
use crate::exit::Failure;
use crate::expectations;
use crate::host;
use crate::kernel::Comment;
use doorward::emit::Style;
use doorward::explain::{
    self, Answers, Assumed, Depends, Ending, Event, Facts, Led, Passage, Step, Surroundings,
};
use doorward::meaning::{self, Judgement, Limits};
use doorward::resolve::Resolved;
use doorward::resolve::model::Verdict;
use doorward::ruleset::{Elements, Expr, Set, Table, TableFamily, set_flags};
use doorward::trace::{Device, End, Machine, Packet, Unknown};

/// All that is to say.
pub(super) struct Answer {
    /// The packet, and what was assumed for it.
    pub assumed: Assumed,
    /// What was looked at.
    pub source: Source,
    /// What the policy says, and on what that depends; none where there is no policy to ask.
    pub judged: Option<Judged>,
    /// How our program ends.
    pub end: End,
    /// Whom the program counts it for.
    pub by: Option<Comment>,
    /// How the program ends when limits are spent, if that is another end, and for whom.
    pub spent: Option<(End, Option<Comment>)>,
    /// The rules of our program that it met where it is judged.
    pub steps: Vec<Step>,
    /// What our program translates, before it is judged and behind.
    pub translated: Vec<Led>,
    /// Everybody's rules, if they were asked.
    pub others: Option<Others>,
    /// What the policy and the program do not agree about.
    pub disagreement: Option<String>,
    /// What is to be kept in mind.
    pub notes: Vec<String>,
}

/// What a policy says.
pub(super) struct Judged {
    pub file: String,
    pub judgement: Judgement,
    pub depends: Vec<Depends>,
}

/// Everybody's rules.
pub(super) struct Others {
    pub tables: Vec<Table>,
    /// Which of them is ours.
    pub ours: usize,
    pub passage: Passage,
    /// Ends that other answers lead to, each with what would have to be so.
    pub depends: Vec<(Vec<String>, End)>,
}

impl Answer {
    pub(super) fn to(
        assumed: Assumed,
        facts: &Facts,
        looked: Looked,
        whole_kernel: bool,
    ) -> Result<Answer, Failure> {
        let Looked { source, table, policy, mut notes } = looked;
        let around = surroundings(&assumed, facts);
        let style = style(facts);
        let (assumed, mut translated) = follow(assumed, &table, &around, &style);
        let connection = &assumed.connection;
        let packet = explain::packet(connection, &around);
        let program = Program::of(&table, &packet, &style);
        let now = program.run(false);
        // What packets have put into sets is of this moment, and no policy knows it.
        let rested = rested(&table);
        let at_rest = rested.as_ref().map(|table| Program::of(table, &packet, &style));
        let unspent = at_rest.as_ref().unwrap_or(&program).run(false);
        let spent = at_rest.as_ref().unwrap_or(&program).run(true);
        if now.end != unspent.end {
            notes.push("now a ban or a spent limit in the kernel decides".to_owned());
        }
        let judged = policy.map(|(file, resolved, host)| Judged::of(file, &resolved, &host, &assumed, facts));
        let disagreement = judged.as_ref().and_then(|judged| judged.against(&source, &unspent, &spent));
        if now.end == End::Accepted {
            translated.extend(explain::leaving(
                std::slice::from_ref(&table),
                connection,
                &around,
                &mut usually,
                &style,
            ));
        }
        let others = if whole_kernel {
            Some(Others::asked(&table, &assumed, &around, &style, &mut notes)?)
        } else {
            None
        };
        Ok(Answer {
            source,
            judged,
            end: now.end,
            by: now.by(),
            spent: (spent.end != now.end).then(|| (spent.end, spent.by())),
            steps: now.steps,
            translated,
            others,
            disagreement,
            notes,
            assumed,
        })
    }

    /// How it ends in all.
    pub(super) fn verdict(&self) -> End {
        self.others.as_ref().map_or(self.end, |others| others.passage.end)
    }
}

/// Where the program leads it as it arrives.
fn follow(assumed: Assumed, table: &Table, around: &Surroundings, style: &Style) -> (Assumed, Vec<Led>) {
    let tables = std::slice::from_ref(table);
    let Some(led) = explain::arriving(tables, &assumed.connection, around, &mut usually, style) else {
        return (assumed, Vec::new());
    };
    let mut assumed = match led.to.addr {
        None => assumed.led(led.to, ""),
        Some(to) => {
            let route =
                host::surroundings(&[to], false).routes.into_iter().map(|(_, route)| route.iface).next();
            let known = route.is_some();
            let oif = route.unwrap_or_else(|| assumed.connection.iface().to_owned());
            let mut assumed = assumed.led(led.to, &oif);
            assumed.lines.push(if known {
                format!("it leaves on {oif}, where the route to {to} leads")
            } else {
                format!("it leaves on {oif}, as this host has no route to {to}")
            });
            assumed
        }
    };
    // Another address of this host would be translated alike.
    assumed.own = false;
    (assumed, vec![led])
}

fn usually(what: &Unknown<'_>) -> bool {
    explain::usual(what.expr)
}

impl Judged {
    fn of(file: String, policy: &Resolved, host: &meaning::Host, assumed: &Assumed, facts: &Facts) -> Judged {
        Judged {
            file,
            judgement: meaning::judge(policy, host, &assumed.connection, Limits::Unspent),
            depends: explain::depends(policy, host, assumed, facts),
        }
    }

    /// What the program does otherwise than the policy says, if anything.
    fn against(&self, source: &Source, unspent: &Run, spent: &Run) -> Option<String> {
        let what = match source {
            Source::Policy(_) => "its program",
            Source::Kernel(_) => "the kernel",
        };
        let differs = |says: Verdict, does: End, when: &str| {
            let words = expectations::verdict(says);
            (does != end_of(says))
                .then(|| format!("{} says {words}{when}, {what} says {}", self.file, word(does)))
        };
        let limit = self.depends.iter().find(|one| one.of_limit);
        differs(self.judgement.verdict, unspent.end, "").or_else(|| {
            let says = limit.map_or(self.judgement.verdict, |one| one.judgement.verdict);
            differs(says, spent.end, " with limits spent")
        })
    }
}

/// Our program, and the packet that it is run on.
pub(super) struct Program<'a> {
    tables: &'a [Table],
    machine: Machine<'a>,
    packet: &'a Packet,
    style: &'a Style,
}

/// One run of it.
pub(super) struct Run {
    end: End,
    steps: Vec<Step>,
}

impl<'a> Program<'a> {
    pub(super) fn of(table: &'a Table, packet: &'a Packet, style: &'a Style) -> Program<'a> {
        let tables = std::slice::from_ref(table);
        Program { tables, machine: Machine::new(tables), packet, style }
    }

    pub(super) fn run(&self, spent: bool) -> Run {
        let mut assume = |what: &Unknown<'_>| match what.expr {
            Expr::Lookup { set, .. } => spent && (set.starts_with("spent_") || set.starts_with("debt_")),
            Expr::Limit(limit) => !limit.over || spent,
            other => explain::usual(other),
        };
        let trace = self.machine.hook(self.packet, &mut assume);
        Run { end: trace.end, steps: explain::steps(self.tables, &self.machine, &trace, self.style) }
    }
}

impl Run {
    /// The last that was counted; what passes without being counted has a comment.
    pub(super) fn by(&self) -> Option<Comment> {
        let counted = self.steps.iter().rev().find_map(|step| step.counted.as_deref());
        let said = || {
            let effective = self.steps.iter().rev().filter(|step| step.event != Event::Missed);
            effective.into_iter().find_map(|step| step.comment.as_deref())
        };
        counted.or_else(said).and_then(Comment::read)
    }
}

impl Others {
    fn asked(
        ours: &Table,
        assumed: &Assumed,
        around: &Surroundings,
        style: &Style,
        notes: &mut Vec<String>,
    ) -> Result<Others, Failure> {
        let (tables, at, unread) = look::everything(ours)?;
        notes.extend(unread);
        let connection = &assumed.connection;
        let machine = Machine::new(&tables);
        let passage = explain::whole(&tables, &machine, connection, around, &mut usually, style);
        let answers = explain::fates(|assume| explain::ending(&machine, connection, around, assume));
        if !answers.complete {
            notes.push("too much is not told by any packet: not all of it was tried".to_owned());
        }
        let depends = depends(&tables, at, &answers);
        notes.extend(blind_spots(&tables, at, &passage));
        drop(machine);
        Ok(Others { tables, ours: at, passage, depends })
    }
}

/// What would have to be so for another end; our own limits are told by the policy.
fn depends(tables: &[Table], ours: usize, answers: &Answers<Ending>) -> Vec<(Vec<String>, End)> {
    let others = answers.others.iter().filter(|other| other.end.end != answers.usual.end);
    let foreign = others.filter(|other| other.contrary.iter().any(|doubt| doubt.place.table != ours));
    foreign
        .map(|other| {
            let words = other.contrary.iter().map(|doubt| {
                let table = tables.get(doubt.place.table);
                let chain = table.and_then(|table| table.chains.get(doubt.place.chain));
                let place = table.zip(chain).map(|(table, chain)| {
                    format!(" in {}, rule {}", chain_of(table, &chain.name), doubt.place.rule + 1)
                });
                format!("{}{}", explain::question_text(tables, doubt), place.unwrap_or_default())
            });
            (words.collect(), other.end.end)
        })
        .collect()
}

/// What this way to look at everybody's rules does not see.
fn blind_spots(tables: &[Table], ours: usize, passage: &Passage) -> Vec<String> {
    let mut notes = Vec::new();
    let named = |base: &explain::Base| {
        tables.get(base.table).map(|table| chain_of(table, &base.chain)).unwrap_or_default()
    };
    if let Some(base) = explain::translates(passage).filter(|base| base.table != ours) {
        notes.push(format!("{} sends it elsewhere by destination NAT: ask about `published`", named(base)));
    }
    if let Some(base) = explain::marks(tables, passage) {
        notes.push(format!("{} gives it a mark, which chains of later hooks do not see here", named(base)));
    }
    let elsewhere = tables.iter().find(|table| {
        matches!(table.family, TableFamily::Netdev | TableFamily::Bridge | TableFamily::Arp)
            && table.chains.iter().any(|chain| chain.base.is_some())
    });
    if let Some(table) = elsewhere {
        let family = table.family.to_string();
        notes.push(format!("table {family} {} and its like were not asked", table.name));
    }
    notes
}

/// Whether our program ends now as a policy says, so that the policy tells who says so.
pub(super) fn agrees(answer: &Answer, judged: &Judged) -> bool {
    answer.end == end_of(judged.judgement.verdict)
}

/// `ip filter INPUT`
pub(super) fn chain_of(table: &Table, chain: &str) -> String {
    format!("{} {} {chain}", table.family, table.name)
}

/// The table with nobody banned and every bucket full; none where it is so anyway.
fn rested(table: &Table) -> Option<Table> {
    let fleeting = |set: &Set| set.flags & set_flags::EVAL != 0;
    if table.sets.iter().all(|set| !fleeting(set) || set.elements.count(set.key_len) == 0) {
        return None;
    }
    let mut table = table.clone();
    for set in table.sets.iter_mut().filter(|set| fleeting(set)) {
        set.elements = Elements::Full(Vec::new());
    }
    Some(table)
}

pub(super) fn surroundings(assumed: &Assumed, facts: &Facts) -> Surroundings {
    let from = assumed.connection.from;
    Surroundings {
        own: facts.own(),
        devices: facts
            .interfaces
            .iter()
            .map(|one| Device {
                name: one.name.clone(),
                index: one.index,
                kind: one.kind.clone(),
                group: None,
            })
            .collect(),
        back: facts.routes.iter().find(|(to, _)| *to == from).map(|(_, route)| route.iface.clone()),
    }
}

pub(super) fn style(facts: &Facts) -> Style {
    let interfaces = facts.interfaces.iter().map(|one| (one.index, one.name.clone())).collect();
    Style { interfaces, usual_protocol_names: true }
}

fn end_of(verdict: Verdict) -> End {
    match verdict {
        Verdict::Allow => End::Accepted,
        Verdict::Block => End::Dropped,
        Verdict::Reject => End::Rejected,
    }
}

/// What happens, in words.
pub(super) fn word(end: End) -> &'static str {
    match end {
        End::Accepted => "allowed",
        End::Dropped => "blocked",
        End::Rejected => "rejected",
        End::Queued => "left to another program",
        End::Stopped(_) => "not told",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward::compile::{Options, compile};
    use doorward::meaning::{Connection, Host, Path};
    use doorward::net::{PortRange, Proto};
    use doorward::report::Origin;
    use doorward::resolve::model::{Limit, Rule, Scope, Traffic, Way};

    fn policy(verdict: Verdict, limit: Option<Limit>) -> Resolved {
        let rule = Rule {
            origin: Origin { file: "p.dw".into(), line: 1, sentence: "a sentence".into() },
            verdict,
            ways: vec![Way::In],
            traffic: vec![Traffic::Ports(Proto::TCP, PortRange::one(22))],
            scope: Scope::default(),
            limit,
            passive: None,
            log: false,
        };
        Resolved { rules: vec![rule], ..Resolved::empty() }
    }

    /// What is said when this policy is held against the program of that one.
    fn against(says: &Resolved, does: &Resolved) -> Option<String> {
        let facts = Facts::default();
        let packet = meaning::Packet::Ports { proto: Proto::TCP, from: 40_000, to: 22, opens: true };
        let connection = Connection {
            path: Path::In { iface: "eth0".to_owned(), addressed: None },
            from: "198.51.100.7".parse().unwrap(),
            to: "192.0.2.1".parse().unwrap(),
            packet,
        };
        let assumed = Assumed { connection, lines: Vec::new(), iface: false, own: false, owner: false };
        let (packet, style) = (explain::packet(&assumed.connection, &Surroundings::default()), style(&facts));
        let table = compile(does, &Options::default());
        let program = Program::of(&table, &packet, &style);
        let judged = Judged::of("p.dw".to_owned(), says, &Host::default(), &assumed, &facts);
        judged.against(&Source::Kernel(1), &program.run(false), &program.run(true))
    }

    /// A program that does not do what the policy says is found out, also where only spent limits show it.
    #[test]
    fn disagreement_is_found() {
        let limit = Some(Limit { rate: 6, seconds: 60, burst: 6, per_source: true });
        let (allow, block) = (policy(Verdict::Allow, None), policy(Verdict::Block, None));
        let limited = policy(Verdict::Allow, limit);
        for same in [&allow, &block, &limited] {
            assert_eq!(against(same, same), None);
        }
        let words = against(&block, &allow).unwrap();
        assert_eq!(words, "p.dw says blocked, the kernel says allowed");
        let words = against(&limited, &allow).unwrap();
        assert_eq!(words, "p.dw says blocked with limits spent, the kernel says allowed");
        assert!(against(&allow, &limited).is_some());
    }
}
