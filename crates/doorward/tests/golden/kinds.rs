//! What becomes of a golden case, by kind; knows no folder but that of its case.

use super::{Case, Results, dump};
use doorward::report::{Report, Sources};
use doorward::syntax;

/// So many kinds of mistakes have a case at least.
pub(super) const LEAST_IDS: usize = 90;

/// All that is said about the policy of a case.
pub(super) fn reports(case: &Case) -> (Sources, Vec<Report>) {
    let text = case.input();
    let mut sources = Sources::default();
    let file = sources.add("policy.dw", text.as_str());
    let (_, reports) = syntax::parse(file, &text);
    (sources, reports)
}

/// The sentences with all their parts and places, and their canonical text.
pub(super) fn parse(case: &Case) -> Results {
    let text = case.input();
    let mut sources = Sources::default();
    let file = sources.add("policy.dw", text.as_str());
    let (tree, reports) = syntax::parse(file, &text);
    assert_eq!(tree.text(), text);
    let said: String = reports.iter().map(|report| report.render(&sources)).collect();
    assert!(reports.is_empty(), "{}: mistakes have a kind of their own\n{said}", case.name());
    vec![("expected.txt", dump::tree(&sources, &tree))]
}

/// What is said about a policy that is none.
pub(super) fn mistakes(case: &Case) -> Results {
    let (sources, reports) = reports(case);
    let said: Vec<String> =
        reports.iter().map(|report| format!("[{}]\n{}", report.id, report.render(&sources))).collect();
    vec![("expected.txt", said.join("\n"))]
}

/// The text laid out; twice is once, and nothing but looks changed.
pub(super) fn fmt(case: &Case) -> Results {
    let text = case.input();
    let mut sources = Sources::default();
    let file = sources.add("policy.dw", text.as_str());
    let out = syntax::format(file, &text).unwrap_or_else(|reports| {
        let said: String = reports.iter().map(|report| report.render(&sources)).collect();
        panic!("{}: {said}", case.name())
    });
    assert_eq!(syntax::format(file, &out).as_deref(), Ok(out.as_str()), "{}: twice is not once", case.name());
    vec![("expected.dw", out)]
}
