//! Keeps all printing in the terminal module, so that one place decides on colour, width and lost terminals.

use super::Finding;
use crate::path::{self, Path};
use crate::tree::Tree;

const TERMINAL: &str = "crates/doorward-cli/src/terminal.rs";
const MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];
const HANDLES: &[&[&str]] = &[
    &["io", "stdout"],
    &["io", "stderr"],
    &["io", "Stdout"],
    &["io", "Stderr"],
    &["stdio", "stdout"],
    &["stdio", "stderr"],
    &["stdio", "raw_stdout"],
    &["stdio", "raw_stderr"],
    &["anstream", "stdout"],
    &["anstream", "stderr"],
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_below("") {
        let exempt = file.path == TERMINAL
            || file.path.starts_with("xtask/")
            // A build script talks to cargo by printing.
            || file.path.ends_with("build.rs")
            || tree.is_test(file);
        if exempt {
            continue;
        }
        for path in path::paths(&file.tokens) {
            if !path.test && prints(&path) {
                findings.push(Finding::new(
                    &file.path,
                    path.line,
                    format!("`{}` prints", path.segments.join("::")),
                    format!("return the text, and let {TERMINAL} print it"),
                ));
            }
        }
    }
    findings
}

fn prints(path: &Path) -> bool {
    let called = path.macro_call && path.segments.last().is_some_and(|s| MACROS.contains(&s.as_str()));
    called || HANDLES.iter().any(|handle| path.holds(handle))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::found;
    use super::check;

    fn cli(path: &str, text: &str) -> usize {
        found(check, &[(path, text)]).len()
    }

    #[test]
    fn nothing_else_prints() {
        let path = "crates/doorward-cli/src/main.rs";
        assert_eq!(cli(path, "fn f() { println!(\"a\"); }"), 1);
        assert_eq!(cli(path, "fn f() { anstream::eprintln!(\"a\"); }"), 1);
        assert_eq!(cli(path, "fn f() { std::dbg!(1); }"), 1);
        assert_eq!(cli(path, "use std::io::{self, Write};\nfn f() { io::stdout().lock() }"), 1);
        assert_eq!(cli(path, "use std::io::{stderr, Write};"), 1);
        assert_eq!(cli("crates/doorward/src/a.rs", "fn f() { print!(\"a\"); }"), 1);
    }

    #[test]
    fn who_may_print_may() {
        let text = "fn f() { println!(\"a\"); }";
        assert_eq!(cli("crates/doorward-cli/src/terminal.rs", text), 0);
        assert_eq!(cli("xtask/src/a.rs", text), 0);
        assert_eq!(cli("crates/doorward-cli/tests/a.rs", text), 0);
        assert_eq!(cli("crates/doorward/src/a.rs", &format!("#[cfg(test)] mod t {{ {text} }}")), 0);
    }

    #[test]
    fn a_childs_output_is_no_print() {
        let text = "fn f(c: Command) { c.stdout(Stdio::piped()).output().stdout; s(\"println!()\"); }";
        assert_eq!(cli("crates/doorward-cli/src/main.rs", text), 0);
    }
}
