//! Who has an opinion on what a ruleset does with a packet. To add one: an implementation, and a line in [`OPINIONS`].

use crate::prover::prover;
use doorward::ruleset::{Expr, PayloadBase, Rule, Ruleset, Verdict, comment_of, udata_kind};
use doorward::trace::{Device, End, Machine, Packet, Unknown};
use doorward::xt;

/// An opinion on one ruleset.
pub(crate) trait Opinion {
    /// Who says so.
    fn name(&self) -> &'static str;

    /// Whether a packet passes all chains of its hook; none if the ruleset and the packet do not tell.
    fn accepts(&self, packet: &Packet) -> Option<bool>;

    /// What it would have to know to decide about this packet, in few words.
    fn lacks(&self, packet: &Packet) -> Vec<String>;
}

/// What is known besides rulesets and packets.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The interfaces that there are.
    pub(crate) devices: Vec<Device>,
    /// Whether this kernel reads transport headers out of later fragments.
    pub(crate) reads_fragments: bool,
}

/// Forms an opinion.
pub(crate) type Maker = for<'a> fn(&'a Ruleset, &'a Kernel) -> Box<dyn Opinion + 'a>;

/// Somebody who is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) maker: Maker,
    /// About every packet (1), or every so many, where an opinion takes long.
    pub(crate) every: usize,
}

/// Everybody who is asked.
pub(crate) const OPINIONS: &[Asked] =
    &[Asked { maker: interpreter, every: 1 }, Asked { maker: prover, every: 1 }];

/// The same in the gate, where the prover is built for debugging and takes long.
pub(crate) const FEWER: &[Asked] =
    &[Asked { maker: interpreter, every: 1 }, Asked { maker: prover, every: 4 }];

/// The machine of the library, which runs the rules.
struct Interpreter<'a> {
    ruleset: &'a Ruleset,
    machine: Machine<'a>,
    kernel: &'a Kernel,
}

fn interpreter<'a>(ruleset: &'a Ruleset, kernel: &'a Kernel) -> Box<dyn Opinion + 'a> {
    Box::new(Interpreter { ruleset, machine: Machine::new(&ruleset.tables), kernel })
}

impl Opinion for Interpreter<'_> {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    /// Tries every answer to what the packet does not tell, up to a bound; decided is what never depends on it.
    fn accepts(&self, packet: &Packet) -> Option<bool> {
        const RUNS: usize = 64;
        let (opinion, mut answers) = self.run(packet, &[], false);
        let opinion = opinion?;
        if answers.is_empty() {
            return Some(opinion);
        }
        // Most of what depends on anything shows at once.
        if self.run(packet, &[], true).0 != Some(opinion) {
            return None;
        }
        for _ in 0..RUNS {
            // The next answers, as one counts: the last `no` becomes `yes`, and what follows is asked anew.
            while answers.last() == Some(&true) {
                answers.pop();
            }
            match answers.last_mut() {
                Some(last) => *last = true,
                None => return Some(opinion),
            }
            let (next, given) = self.run(packet, &answers, false);
            if next != Some(opinion) {
                return None;
            }
            answers = given;
        }
        None
    }

    /// The questions of which one alone, answered otherwise, leads elsewhere.
    fn lacks(&self, packet: &Packet) -> Vec<String> {
        let mut asked = Vec::new();
        for rest in [false, true] {
            let mut questions = Vec::new();
            let (opinion, answers) =
                self.ask(packet, &[], rest, &mut |what| questions.push(self.name_of(what)));
            if opinion.is_none() {
                return vec!["queued, or stopped".to_owned()];
            }
            for (at, question) in questions.iter().enumerate() {
                let mut other = answers[..at].to_vec();
                other.push(!rest);
                if self.run(packet, &other, rest).0 != opinion {
                    asked.push(question.clone());
                }
            }
        }
        asked.sort();
        asked.dedup();
        if asked.is_empty() {
            asked.push("several questions at once".to_owned());
        }
        asked
    }
}

impl Interpreter<'_> {
    /// Runs with these first answers and the same for the rest; says what was answered.
    fn run(&self, packet: &Packet, first: &[bool], rest: bool) -> (Option<bool>, Vec<bool>) {
        self.ask(packet, first, rest, &mut |_| {})
    }

    fn ask(
        &self,
        packet: &Packet,
        first: &[bool],
        rest: bool,
        heard: &mut dyn FnMut(&Unknown<'_>),
    ) -> (Option<bool>, Vec<bool>) {
        let mut answers = first.to_vec();
        let mut asked = 0;
        let mut assume = |what: &Unknown<'_>| {
            if matches!(what.expr, Expr::Payload { base: PayloadBase::Transport, .. }) {
                return self.kernel.reads_fragments;
            }
            if asked == answers.len() {
                answers.push(rest);
            }
            asked += 1;
            heard(what);
            answers[asked - 1]
        };
        let end = match self.machine.hook(packet, &mut assume).end {
            End::Accepted => Some(true),
            End::Dropped | End::Rejected => Some(false),
            End::Queued | End::Stopped(_) => None,
        };
        answers.truncate(asked);
        (end, answers)
    }

    /// The expression that asks; of a comparison, what was loaded for it.
    fn name_of(&self, what: &Unknown<'_>) -> String {
        if let Some(name) = xt::name(what.expr) {
            return format!("xt {name}");
        }
        let table = &self.ruleset.tables[what.place.table];
        let rule = &table.chains[what.place.chain].rules[what.place.rule];
        let before = rule.exprs[..=what.place.expr].iter().rev();
        let mut loads = before.filter_map(|expr| match expr {
            Expr::Meta { key, .. } => Some(format!("meta {key:?}")),
            Expr::Ct { key, .. } => Some(format!("ct {key:?}")),
            Expr::Fib(fib) => Some(format!("fib {:?} {}", fib.result, fib.flags)),
            Expr::Exthdr { op, header, .. } => Some(format!("exthdr {op} {header}")),
            Expr::Unknown { name, .. } => Some(name.clone()),
            _ => None,
        });
        match what.expr {
            Expr::Cmp { .. } | Expr::Range { .. } | Expr::Lookup { .. } => {
                loads.next().unwrap_or_else(|| "something written before".to_owned())
            }
            other => {
                let text = format!("{other:?}");
                text.split([' ', '(', '{']).next().unwrap_or_default().to_lowercase()
            }
        }
    }
}

/// The wrong opinion that every run must catch: it turns round the verdicts of rules with the comment [`TURNED`].
struct Contrary<'a> {
    turned: Ruleset,
    kernel: &'a Kernel,
}

/// Marks the rules that [`Contrary`] reads the wrong way.
pub(crate) const TURNED: &str = "read the wrong way by one";

pub(crate) fn contrary<'a>(ruleset: &'a Ruleset, kernel: &'a Kernel) -> Box<dyn Opinion + 'a> {
    let mut turned = ruleset.clone();
    for rule in
        turned.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules)
    {
        if is_turned(rule) {
            for expr in &mut rule.exprs {
                *expr = match expr {
                    Expr::Verdict(Verdict::Accept) => Expr::Verdict(Verdict::Drop),
                    Expr::Verdict(Verdict::Drop) => Expr::Verdict(Verdict::Accept),
                    _ => continue,
                };
            }
        }
    }
    Box::new(Contrary { turned, kernel })
}

/// Whether a rule is read the wrong way.
pub(crate) fn is_turned(rule: &Rule) -> bool {
    comment_of(udata_kind::RULE_COMMENT, &rule.udata).as_deref() == Some(TURNED)
}

impl Opinion for Contrary<'_> {
    fn name(&self) -> &'static str {
        "contrary"
    }

    fn accepts(&self, packet: &Packet) -> Option<bool> {
        interpreter(&self.turned, self.kernel).accepts(packet)
    }

    fn lacks(&self, packet: &Packet) -> Vec<String> {
        interpreter(&self.turned, self.kernel).lacks(packet)
    }
}
