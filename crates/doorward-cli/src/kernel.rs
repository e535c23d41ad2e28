//! What the kernel says, in the words of the policy: errors with the sentence they belong to, hits by sentence.

use crate::exit::{Exit, Failure};
use doorward::compile::{self, Phase, TABLE};
use doorward::ruleset::{
    Elements, Expr, Rule, Step, Table, TableFamily, Transaction, comment_of, udata_kind,
};
use doorward_kernel::{CommitError, KernelError, Place, Refusal, Scope};
use rustix::io::Errno;

/// What is never kept.
const BRIEF: [&str; 2] = ["panic", "open"];
/// So many mistakes of one transaction are told; one cause has many effects.
const MOST_REFUSALS: usize = 5;

/// Our own table.
pub(crate) fn ours() -> Scope {
    Scope::Table(TableFamily::Inet, TABLE.to_owned())
}

/// What is on trial in our table and was never meant to stay: `panic` or `open`. Their text is in no file; what it is
/// called comes back with every rule.
pub(crate) fn brief(table: &Table) -> Option<&'static str> {
    let Phase::Trial { new, left: Some(_), .. } = compile::phase(table) else { return None };
    let stem = format!("g{new}_");
    let chains = table.chains.iter().filter(|chain| chain.name.starts_with(&stem));
    chains.flat_map(|chain| &chain.rules).find_map(|rule| {
        let comment = comment_of(udata_kind::RULE_COMMENT, &rule.udata)?;
        let Some(Comment::Sentence { place, .. }) = Comment::read(&comment) else { return None };
        BRIEF.into_iter().find(|word| place.starts_with(&brief_name(word)))
    })
}

/// What the text of `panic` or `open` is called; no file has such a name.
pub(crate) fn brief_name(word: &str) -> String {
    format!("({word})")
}

/// The kernel could not be asked.
pub(crate) fn unread(error: &KernelError) -> Failure {
    let failure = Failure::new(Exit::System, error);
    match error {
        KernelError::Refused { errno, .. }
        | KernelError::Open { errno, .. }
        | KernelError::Io { errno, .. }
            if *errno == Errno::PERM =>
        {
            failure.way_out("run it as root, with CAP_NET_ADMIN")
        }
        KernelError::Unsettled { .. } => failure.way_out("another program keeps changing them: try again"),
        _ => failure,
    }
}

/// The kernel did not take a transaction.
pub(crate) fn refused(error: &CommitError, transaction: &Transaction) -> Failure {
    let CommitError::Refused(refusals) = error else {
        return match error {
            CommitError::Kernel(error) => unread(error),
            other => Failure::new(Exit::System, other),
        };
    };
    let mut failure =
        Failure { exit: Exit::System, messages: Vec::new(), ways_out: Vec::new(), closing: None };
    for refusal in refusals {
        let message = match origin(refusal, transaction) {
            Some(Comment::Sentence { place, sentence }) => {
                format!("{place}: the kernel refused this: {sentence}: {}", reason(refusal))
            }
            Some(Comment::BuiltIn(what)) => {
                format!("the kernel refused what is built in ({what}): {}", reason(refusal))
            }
            None => format!("the kernel refused this: {}", reason(refusal)),
        };
        if failure.messages.len() < MOST_REFUSALS && !failure.messages.contains(&message) {
            failure.messages.push(message);
        }
    }
    if refusals.iter().any(|refusal| refusal.errno == Errno::PERM) {
        failure.messages.truncate(1);
        return failure.way_out("run it as root, with CAP_NET_ADMIN");
    }
    failure
}

fn reason(refusal: &Refusal) -> String {
    match &refusal.module {
        Some(module) if !refusal.reason.contains(module.as_str()) => {
            format!("{}, needs {module}", refusal.reason)
        }
        _ => refusal.reason.clone(),
    }
}

/// What the comment of a rule or an element says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Comment {
    /// A sentence of the policy.
    Sentence {
        /// `policy.dw:14`
        place: String,
        /// `allow ssh`
        sentence: String,
    },
    /// Something that holds in every policy.
    BuiltIn(String),
}

impl Comment {
    /// Reads `policy.dw:14 allow ssh` and `built in: loopback`.
    pub(crate) fn read(text: &str) -> Option<Comment> {
        if let Some(what) = text.strip_prefix("built in: ") {
            return Some(Comment::BuiltIn(what.to_owned()));
        }
        // Names of files may hold blanks and colons; behind the line stands a word.
        text.match_indices(':').find_map(|(at, _)| {
            let rest = text.get(at + 1..)?;
            let (line, sentence) = rest.split_once(' ')?;
            let is_line = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
            is_line.then(|| Comment::Sentence {
                place: format!("{}:{line}", text.get(..at).unwrap_or_default()),
                sentence: sentence.to_owned(),
            })
        })
    }
}

/// Whose fault a mistake is.
fn origin(refusal: &Refusal, transaction: &Transaction) -> Option<Comment> {
    let text = match transaction.steps.get(refusal.step?)? {
        Step::AddRule { rule, .. } => {
            comment_of(udata_kind::RULE_COMMENT, &rule.udata).or_else(|| of_lookup(rule, transaction))
        }
        Step::AddElements { elements: Elements::Full(list), .. } => match refusal.place {
            Some(Place::Element(index)) => comment_of(udata_kind::ELEM_COMMENT, &list.get(index)?.udata),
            _ => first_comment(list),
        },
        Step::AddSet(set) => elements_of(&set.name, transaction),
        _ => None,
    };
    Comment::read(&text?)
}

/// A rule that looks into a set belongs to the sentences of its elements.
fn of_lookup(rule: &Rule, transaction: &Transaction) -> Option<String> {
    rule.exprs.iter().find_map(|expr| match expr {
        Expr::Lookup { set, .. } => elements_of(set, transaction),
        _ => None,
    })
}

fn elements_of(name: &str, transaction: &Transaction) -> Option<String> {
    transaction.steps.iter().find_map(|step| match step {
        Step::AddElements { set, elements: Elements::Full(list), .. } if set == name => first_comment(list),
        _ => None,
    })
}

fn first_comment(list: &[doorward::ruleset::Element]) -> Option<String> {
    list.iter().find_map(|element| comment_of(udata_kind::ELEM_COMMENT, &element.udata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward::ruleset::{Element, Reg, Set};

    fn sentence(place: &str, sentence: &str) -> Comment {
        Comment::Sentence { place: place.to_owned(), sentence: sentence.to_owned() }
    }

    #[test]
    fn comments_read_back() {
        assert_eq!(Comment::read("policy.dw:14 allow ssh"), Some(sentence("policy.dw:14", "allow ssh")));
        assert_eq!(Comment::read("my p:o.dw:3 block out x"), Some(sentence("my p:o.dw:3", "block out x")));
        assert_eq!(
            Comment::read("p.dw:3 allow ssh from 2001:db8::1"),
            Some(sentence("p.dw:3", "allow ssh from 2001:db8::1"))
        );
        assert_eq!(Comment::read("built in: DHCP"), Some(Comment::BuiltIn("DHCP".to_owned())));
        for other in ["", "connections from before the first load", "a:b", "x: y", ":"] {
            assert_eq!(Comment::read(other), None, "{other}");
        }
    }

    fn refusal(step: usize, place: Option<Place>, reason: &str, module: Option<&str>) -> CommitError {
        CommitError::Refused(vec![Refusal {
            step: Some(step),
            place,
            errno: Errno::NOENT,
            text: None,
            reason: reason.to_owned(),
            module: module.map(str::to_owned),
        }])
    }

    #[test]
    fn a_mistake_is_told_by_its_sentence() {
        let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
        let elements = vec![
            Element::of(vec![1]).commented("p.dw:1 allow a"),
            Element::of(vec![2]).commented("p.dw:2 allow b"),
        ];
        let lookup = Expr::Lookup { set: "s".to_owned(), sreg: Reg(0), dreg: None, invert: false };
        transaction.steps = vec![
            Step::AddSet(Set::over("s", &[])),
            Step::AddElements {
                set: "s".to_owned(),
                flags: 0,
                key_len: 1,
                elements: Elements::Full(elements),
            },
            Step::AddRule { chain: "c".to_owned(), rule: Rule::new(vec![lookup]) },
            Step::AddRule { chain: "c".to_owned(), rule: Rule::new(Vec::new()).commented("built in: x") },
        ];
        let said = |error| refused(&error, &transaction).messages;
        assert_eq!(
            said(refusal(1, Some(Place::Element(1)), "no room", None)),
            ["p.dw:2: the kernel refused this: allow b: no room"]
        );
        assert_eq!(
            said(refusal(2, None, "in chain `c`, odd", Some("nft_fib"))),
            ["p.dw:1: the kernel refused this: allow a: in chain `c`, odd, needs nft_fib"]
        );
        assert_eq!(
            said(refusal(3, None, "needs nft_fib", Some("nft_fib"))),
            ["the kernel refused what is built in (x): needs nft_fib"]
        );
        assert_eq!(said(refusal(99, None, "odd", None)), ["the kernel refused this: odd"]);
    }
}
