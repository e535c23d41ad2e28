//! `cargo xtask man FOLDER`: the man pages, from the definition of the command line, the grammar and docs/policy.md.

// The same file that the command is made of: what `--help` says, the page says.
#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/doorward-cli/src/cli.rs"]
mod cli;
mod roff;

use clap::{Arg, Command};
use roff::{block, inline, line, markdown, tagged};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// Of the last change that a reader notices.
const DATE: &str = "2026-11-27";
const AROUND: &str = include_str!("man/doorward.md");

/// Writes both pages into a folder.
pub(crate) fn run(root: &Path, args: &[String]) -> ExitCode {
    let [folder] = args else {
        eprintln!("usage: cargo xtask man FOLDER");
        return ExitCode::from(2);
    };
    let written = policy_page(root).and_then(|policy| {
        fs::create_dir_all(folder)?;
        fs::write(Path::new(folder).join("doorward-policy.5"), policy)?;
        fs::write(Path::new(folder).join("doorward.8"), command_page())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the man pages cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn head(name: &str, section: u8, about: &str) -> String {
    format!(
        ".TH {} {section} {DATE} \"doorward {}\"\n.SH NAME\n{} \\- {}\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        inline(name),
        inline(about)
    )
}

/// `doorward-policy.5`
fn policy_page(root: &Path) -> std::io::Result<String> {
    let text = fs::read_to_string(root.join("docs/policy.md"))?;
    let grammar = fs::read_to_string(root.join("crates/doorward/src/syntax/grammar.ebnf"))?;
    let intro = text.find("\n\n").unwrap_or(0);
    Ok(head("doorward-policy", 5, "the language of doorward's policies")
        + ".SH DESCRIPTION\n"
        + &markdown(&text[intro..])
        + &block(grammar.lines())
        + ".SH SEE ALSO\n\\fBdoorward\\fR(8)\n")
}

/// `doorward.8`
fn command_page() -> String {
    let command = cli::definition();
    let (before, behind) = AROUND.split_once("<!-- commands -->").unwrap_or((AROUND, ""));
    let mut page = head("doorward", 8, "a host firewall: sentences in, a firewall out");
    page.push_str(".SH SYNOPSIS\n\\fBdoorward\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR ...\n");
    page.push_str(&markdown(before));
    page.push_str(".SH OPTIONS\n");
    for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
        page.push_str(&argument(arg));
    }
    page.push_str(".SH COMMANDS\n");
    for inner in command.get_subcommands() {
        subcommand(inner, &mut page);
    }
    page + &markdown(behind)
}

fn subcommand(command: &Command, page: &mut String) {
    if command.is_hide_set() {
        return;
    }
    let name = command.get_bin_name().unwrap_or(command.get_name());
    page.extend([".SS ", &inline(name), "\n"]);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").split_whitespace().collect::<Vec<_>>().join(" ");
    // A command that is used in two ways says so in two lines.
    page.push_str(&line(&usage).replace(" doorward ", "\n.br\ndoorward "));
    page.push_str("\n.PP\n");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.push_str(&line(&format!("{about}.")));
    page.push('\n');
    for arg in command.get_arguments() {
        // What every command has is told once.
        let known = arg.is_global_set() || arg.get_id() == "help";
        if !arg.is_hide_set() && !known {
            page.push_str(&argument(arg));
        }
    }
    let behind = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for part in behind.split("\n\n") {
        match part.strip_prefix("Examples:\n") {
            Some(examples) => {
                page.push_str(".PP\nExamples:\n");
                page.push_str(&block(examples.lines().map(|line| line.strip_prefix("  ").unwrap_or(line))));
            }
            None if part.is_empty() => {}
            None => page.extend([".PP\n", &line(&part.replace('\n', " ")), "\n"]),
        }
    }
    command.get_subcommands().for_each(|inner| subcommand(inner, page));
}

fn argument(arg: &Arg) -> String {
    let values: Vec<String> =
        arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let mut values = values.join(" ");
    let names: Vec<String> =
        [arg.get_short().map(|c| format!("-{c}")), arg.get_long().map(|l| format!("--{l}"))]
            .into_iter()
            .flatten()
            .collect();
    let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default() + ".";
    if !arg.get_action().takes_values() {
        values.clear();
    } else if let Some(default) = arg.get_default_values().first() {
        text.extend([" If it is not said: `", &default.to_string_lossy(), "`."]);
    }
    let possible = arg.get_possible_values();
    if arg.get_action().takes_values() && !possible.is_empty() {
        let one: Vec<String> = possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
        text.extend([" One of ", &one.join(", "), "."]);
    }
    let name = if names.is_empty() { values } else { format!("`{}` {values}", names.join("`, `")) };
    tagged(name.trim(), &text)
}

#[cfg(test)]
#[path = "../../tests/support/skip.rs"]
mod skip;

#[cfg(test)]
mod tests {
    use super::{cli, command_page, policy_page, skip};
    use std::path::Path;
    use std::process::Command;

    fn pages() -> [(&'static str, String); 2] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        [("doorward.8", command_page()), ("doorward-policy.5", policy_page(&root).unwrap())]
    }

    #[test]
    fn every_command_and_flag_is_told() {
        fn visit(command: &clap::Command, page: &str) {
            let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
            for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
                let heading = format!("\n.SS {}\n", inner.get_bin_name().unwrap().replace('-', "\\-"));
                let part = page.split_once(&heading).unwrap_or_else(|| panic!("{name}: {heading}")).1;
                let part = &part[..part.find("\n.S").unwrap()];
                for arg in inner.get_arguments() {
                    let told = |text: &str| text.contains(&super::argument(arg));
                    // What every command has is told once.
                    let known = arg.is_hide_set() || arg.get_id() == "help";
                    assert!(known || told(part) || arg.is_global_set() && told(page), "{heading}{arg}");
                }
                visit(inner, page);
            }
        }
        visit(&cli::definition(), &command_page());
    }

    /// The grammar ends the page, whole.
    #[test]
    fn the_grammar_is_told_whole() {
        let [_, (_, page)] = pages();
        let grammar = include_str!("../../crates/doorward/src/syntax/grammar.ebnf");
        let told = page.split_once(".SH THE WHOLE GRAMMAR\n").unwrap().1.replace("\\-", "-");
        for line in grammar.lines() {
            assert!(told.contains(&line.replace('`', "\\(ga").replace('\'', "\\(aq")), "{line}");
        }
    }

    #[test]
    fn they_render_without_warnings() {
        for (name, page) in pages() {
            let file = std::env::temp_dir().join(format!("doorward-man-{}-{name}", std::process::id()));
            std::fs::write(&file, page).unwrap();
            for (program, args) in [("man", ["--warnings", "-l"]), ("mandoc", ["-Tlint", "-Wwarning"])] {
                let out = Command::new(program).args(args).arg(&file).env("MANPAGER", "cat").output();
                let Ok(out) = out else {
                    skip::skip(&format!("{program} is not installed"));
                    continue;
                };
                let said = String::from_utf8_lossy(&out.stderr).into_owned();
                // It is man that renders on standard output; mandoc warns there.
                let warned = if program == "mandoc" {
                    String::from_utf8_lossy(&out.stdout).into_owned()
                } else {
                    said
                };
                assert!(out.status.success() && warned.is_empty(), "{program} {name}: {warned}");
            }
            let _ = std::fs::remove_file(file);
        }
    }
}
