//! Any text is read whole: nothing is lost, every report points into it, what was understood is said back,
//! what is told to be written is right, and a text that is laid out stays so.

#![no_main]

use doorward::report::{Report, Severity, Sources, Span};
use doorward::syntax::{Tree, edit, format, parse, write};

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
    match format(file, text) {
        Err(again) => assert_eq!(again, reports),
        Ok(laid_out) => {
            let (again, wrong) = parse(file, &laid_out);
            assert!(wrong.is_empty(), "{laid_out:?}");
            assert_eq!(said(&again), said(&tree));
            assert_eq!(comments(&again), comments(&tree));
            assert_eq!(format(file, &laid_out).as_deref(), Ok(laid_out.as_str()));
            edits(&tree);
        }
    }
});

/// Each sentence goes out alone, and comes in again; no comment goes with it.
fn edits(tree: &Tree) {
    for sentence in tree.sentences().iter().take(3) {
        let written = write::sentence(sentence);
        let out = edit::remove(tree, sentence).expect("it is there");
        let (without, wrong) = parse(tree.file(), &out.text);
        assert!(wrong.is_empty() && !said(&without).contains(&written), "{out:?}");
        assert_eq!(comments(&without), comments(tree));
        let back = edit::insert(&without, sentence).expect("it is gone");
        let (back, wrong) = parse(tree.file(), &back.text);
        assert!(wrong.is_empty() && said(&back).contains(&written));
        assert_eq!(comments(&back), comments(tree));
    }
}

fn said(tree: &Tree) -> Vec<String> {
    tree.sentences().iter().map(write::sentence).collect()
}

fn comments(tree: &Tree) -> Vec<&str> {
    tree.pieces().filter(|piece| piece.starts_with('#')).map(str::trim_end).collect()
}

/// A report stands in the text, is one line, and an error names a way out.
fn well_said(report: &Report, text: &str, sources: &Sources) {
    inside(report.span, text);
    if let Some((span, _)) = &report.other {
        inside(*span, text);
    }
    assert!(!report.message.contains('\n'), "{report:?}");
    let helps = !report.label.is_empty() || !report.ways_out.is_empty();
    assert!(helps || report.severity == Severity::Warning, "{report:?}");
    for way in &report.ways_out {
        if let Some(told) = way.strip_prefix("write `").and_then(|rest| rest.strip_suffix('`')) {
            let (tree, wrong) = parse(report.span.file, told);
            assert!(wrong.is_empty() && tree.sentences().len() == 1, "`{told}` is told, and is no sentence");
        }
    }
    // What a policy holds must not reach the terminal as commands.
    let rendered = report.render(sources);
    assert!(!rendered.contains(|c: char| c.is_control() && c != '\n'), "{rendered:?}");
}

fn inside(span: Span, text: &str) {
    let range = span.start as usize..span.end as usize;
    assert!(text.get(range).is_some(), "{span:?} in {} bytes", text.len());
}
