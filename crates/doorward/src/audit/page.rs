//! An audit as one page for a browser: nothing is loaded from elsewhere, light or dark as the reader likes, printable.

use super::{Audit, Finding, Level, Port, Reach};
use std::fmt::Write as _;

/// Height of a row of the picture.
const ROW: usize = 40;
/// Where the three columns begin and end.
const SOURCES: (usize, usize) = (10, 250);
const DOORS: (usize, usize) = (370, 590);
const PROGRAMS: (usize, usize) = (710, 950);
/// Above the first row.
const TOP: usize = 46;
/// So many characters fit into a box.
const FITS: usize = 28;

const STYLE: &str = "
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --faint: #59636e; --line: #d1d9e0; --box: #f6f8fa;
  --good: #1a7f37; --notice: #0969da; --warning: #9a6700; --critical: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --text: #e6edf3; --faint: #9198a1; --line: #3d444d;
  --box: #151b23; --good: #3fb950; --notice: #58a6ff; --warning: #d29922; --critical: #ff7b72; } }
body { background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p.sum { color: var(--faint); margin: .25rem 0 0; }
table { border-collapse: collapse; width: 100%; } th { color: var(--faint); font-weight: 600; text-align: left; }
td, th { border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0; vertical-align: top; }
code { background: var(--box); border: 1px solid var(--line); border-radius: 4px; font: .875em ui-monospace, monospace;
  padding: .1em .35em; }
.finding { border-left: 4px solid var(--line); margin: 1rem 0; padding: .1rem 0 .1rem .9rem; }
.finding p { margin: .25rem 0; } .finding ul { margin: .25rem 0; padding-left: 1.2rem; }
.critical { --tone: var(--critical); } .warning { --tone: var(--warning); } .notice { --tone: var(--notice); }
.good { --tone: var(--good); } .shut { --tone: var(--faint); }
.finding.critical, .finding.warning, .finding.notice { border-color: var(--tone); }
.level { color: var(--tone); font-weight: 700; text-transform: uppercase; font-size: .8rem; letter-spacing: .04em; }
svg { height: auto; max-width: 100%; } svg text { fill: var(--text); font: 14px system-ui, sans-serif; }
svg .head { fill: var(--faint); font-weight: 600; } svg rect { fill: var(--box); stroke: var(--line); }
svg .door rect { stroke: var(--tone); stroke-width: 2; } svg path { fill: none; stroke: var(--tone); stroke-width: 2; }
svg .sub { fill: var(--faint); font-size: 12px; }
@media print { body { margin: 0; max-width: none; } .finding, tr, svg { break-inside: avoid; } }
";

/// The page.
#[must_use]
pub fn page(audit: &Audit, title: &str) -> String {
    let mut out = String::new();
    let title = text(title);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p class=\"sum\">{}</p>\n",
        text(&sum(audit))
    );
    let shown: Vec<&Port> = audit.ports.iter().filter(|port| port.outside).collect();
    if !shown.is_empty() {
        out.push_str("<h2>Who can come to what</h2>\n");
        picture(&mut out, &shown);
    }
    out.push_str("<h2>Findings</h2>\n");
    if audit.findings.is_empty() {
        out.push_str("<p>Nothing odd.</p>\n");
    }
    audit.findings.iter().for_each(|finding| of_finding(&mut out, finding));
    out.push_str("<h2>All who listen</h2>\n<table>\n<thead><tr><th>Port</th><th>Who listens</th><th>At</th><th>Who can come over IPv4</th><th>Over IPv6</th></tr></thead>\n<tbody>\n");
    audit.ports.iter().for_each(|port| of_port(&mut out, port));
    out.push_str("</tbody>\n</table>\n</body>\n</html>\n");
    out
}

/// How many findings of each level there are.
fn sum(audit: &Audit) -> String {
    let levels = [Level::Critical, Level::Warning, Level::Notice];
    let counts = levels.map(|level| (level, audit.findings.iter().filter(|one| one.level == level).count()));
    let words: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(level, count)| match (level, count) {
            (Level::Critical, count) => format!("{count} critical"),
            (level, 1) => format!("1 {}", level.word()),
            (level, count) => format!("{count} {}s", level.word()),
        })
        .collect();
    let doors = audit.ports.iter().filter(|port| port.outside).count();
    let ports = if doors == 1 { "1 port".to_owned() } else { format!("{doors} ports") };
    let found = if words.is_empty() { "nothing odd".to_owned() } else { words.join(", ") };
    format!("{ports} that listen beyond this host; {found}")
}

fn of_finding(out: &mut String, finding: &Finding) {
    let level = finding.level.word();
    let _ = writeln!(
        out,
        "<div class=\"finding {level}\">\n<p><span class=\"level\">{level}</span> {}</p>",
        text(&finding.what)
    );
    if let Some(by) = &finding.by {
        let _ = writeln!(out, "<p>{}: <code>{}</code></p>", text(&by.to_string()), text(&by.sentence));
    }
    if !finding.ways_out.is_empty() {
        out.push_str("<ul>\n");
        for line in &finding.ways_out {
            let _ = writeln!(out, "<li>{}</li>", code(line));
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</div>\n");
}

fn of_port(out: &mut String, port: &Port) {
    let who = |reach: &Reach| if port.outside { text(reach.words()) } else { "this host".to_owned() };
    let _ = writeln!(
        out,
        "<tr class=\"{}\"><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        class(port),
        text(&name(port)),
        text(&port.programs.join(", ")),
        text(&port.listens.join(", ")),
        who(&port.reach[0]),
        who(&port.reach[1]),
    );
}

/// `published 8080/tcp`
fn name(port: &Port) -> String {
    let published = if port.published { "published " } else { "" };
    format!("{published}{}/{}", port.port, port.proto.name().unwrap_or("?"))
}

fn class(port: &Port) -> &'static str {
    let open = port.reach.iter().any(|reach| *reach != Reach::Nobody);
    match port.level {
        Some(level) if open || level > Level::Notice => level.word(),
        _ if open => "good",
        _ => "shut",
    }
}

/// Sources to the left, doors in the middle, programs to the right; a line for each that can come.
fn picture(out: &mut String, ports: &[&Port]) {
    let mut sources: Vec<String> = Vec::new();
    let who = |port: &Port| -> Vec<String> {
        match &port.reach {
            [Reach::Nobody, Reach::Nobody] => Vec::new(),
            [four, six] if four == six => vec![four.words().to_owned()],
            [four, Reach::Nobody] => vec![format!("{}, IPv4", four.words())],
            [Reach::Nobody, six] => vec![format!("{}, IPv6", six.words())],
            [four, six] => vec![format!("{}, IPv4", four.words()), format!("{}, IPv6", six.words())],
        }
    };
    for source in ports.iter().flat_map(|port| who(port)) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    let rows = ports.len().max(sources.len());
    let (width, height) = (960, TOP + rows * ROW + 10);
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Sources, doors and programs; the table below says the same\">"
    );
    for (x, head) in [(SOURCES.0, "from"), (DOORS.0, "door"), (PROGRAMS.0, "program")] {
        let _ = writeln!(out, "<text class=\"head\" x=\"{x}\" y=\"26\">{head}</text>");
    }
    let middle = |row: usize| TOP + row * ROW + (ROW - 8) / 2;
    let line = |out: &mut String, class: &str, from: (usize, usize), to: (usize, usize)| {
        let bend = usize::midpoint(from.0, to.0);
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"M{} {} C{bend} {} {bend} {} {} {}\"/>",
            from.0, from.1, from.1, to.1, to.0, to.1
        );
    };
    for (row, port) in ports.iter().enumerate() {
        for source in who(port) {
            let from = sources.iter().position(|one| *one == source).unwrap_or_default();
            line(out, class(port), (SOURCES.1, middle(from)), (DOORS.0, middle(row)));
        }
        if port.reach.iter().any(|reach| *reach != Reach::Nobody) {
            line(out, class(port), (DOORS.1, middle(row)), (PROGRAMS.0, middle(row)));
        }
    }
    for (row, source) in sources.iter().enumerate() {
        frame(out, "source", SOURCES, row, source, None);
    }
    for (row, port) in ports.iter().enumerate() {
        let door = format!("door {}", class(port));
        frame(out, &door, DOORS, row, &name(port), port.service);
        frame(out, "program", PROGRAMS, row, &port.programs.join(", "), None);
    }
    out.push_str("</svg>\n");
}

fn frame(
    out: &mut String,
    class: &str,
    (left, right): (usize, usize),
    row: usize,
    words: &str,
    sub: Option<&str>,
) {
    let (y, width) = (TOP + row * ROW, right - left);
    let short: String = if words.chars().count() > FITS {
        words.chars().take(FITS - 1).chain(['…']).collect()
    } else {
        words.to_owned()
    };
    let sub = sub.map(|sub| format!(" <tspan class=\"sub\">{}</tspan>", text(sub))).unwrap_or_default();
    let _ = writeln!(
        out,
        "<g class=\"{class}\"><title>{}</title><rect x=\"{left}\" y=\"{y}\" width=\"{width}\" height=\"{}\" rx=\"6\"/>\
         <text x=\"{}\" y=\"{}\">{}{sub}</text></g>",
        text(words),
        ROW - 8,
        left + 10,
        y + 21,
        text(&short),
    );
}

/// What stands between backticks is a command.
fn code(line: &str) -> String {
    let parts = line.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 1 { format!("<code>{}</code>", text(part)) } else { text(part) })
        .collect()
}

/// Text that nothing of a page can be hidden in.
fn text(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for letter in words.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}
