//! Any text is read whole: nothing is lost, every report points into it, and what was understood is said back.

#![no_main]

use doorward::report::{Report, Severity, Sources, Span};
use doorward::syntax::{parse, write};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut sources = Sources::default();
    let file = sources.add("policy.dw", text);
    let (tree, reports) = parse(file, text);
    assert_eq!(tree.text(), text);
    assert_eq!(tree.pieces().collect::<String>(), text);
    for report in &reports {
        well_said(report, text, &sources);
    }
    for sentence in tree.sentences() {
        inside(sentence.span, text);
        let written = write::sentence(sentence);
        let (again, _) = parse(file, &written);
        let rewritten: Vec<String> = again.sentences().iter().map(write::sentence).collect();
        assert_eq!(rewritten, [written], "from {:?}", sources.slice(sentence.span));
    }
});

/// A report stands in the text, is one line, and an error names a way out.
fn well_said(report: &Report, text: &str, sources: &Sources) {
    inside(report.span, text);
    if let Some((span, _)) = &report.other {
        inside(*span, text);
    }
    assert!(!report.message.contains('\n'), "{report:?}");
    let helps = !report.label.is_empty() || !report.ways_out.is_empty();
    assert!(helps || report.severity == Severity::Warning, "{report:?}");
    // What a policy holds must not reach the terminal as commands.
    let rendered = report.render(sources);
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
}

fn inside(span: Span, text: &str) {
    let range = span.start as usize..span.end as usize;
    assert!(text.get(range).is_some(), "{span:?} in {} bytes", text.len());
}
