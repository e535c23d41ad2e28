//! `audit`: who listens here, who can come to it, and what is odd about that; changes nothing.

use super::Outcome;
use crate::cli::{Audit as Args, Threshold};
use crate::exit::{Exit, Failure, Stop};
use crate::files::{self, Disk};
use crate::json;
use crate::kernel;
use crate::policy::{self, Sound};
use crate::side::BySide;
use crate::store::Store;
use crate::survey::survey;
use crate::terminal::Terminal;
use crate::text::{Cell, Line, Tone, cell, count, table};
use crate::traffic;
use doorward::audit::{self, Audit, Doors, Finding, Level, Port, Reach};
use doorward::compile;
use doorward::net::{AddrSet, Prefix};
use doorward::prove::{self, Names, Side};
use doorward::resolve::{self, Resolved};
use doorward_kernel::Reader;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::Path;

pub(super) fn run(args: &Args, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    let (policy, shown) = asked(args, state, json, terminal)?;
    let survey = survey()?;
    let audit = match &policy {
        None => audit::audit(&survey, &Doors::none()),
        Some(policy) => {
            let all = &policy.resolved;
            let own = AddrSet::new(survey.own.iter().map(|addr| Prefix::host(*addr)), []);
            let nothing = Resolved::empty();
            let open = prove::changes(Side::Policy(&nothing), Side::Policy(all), &own, &BySide::of(all))
                .map_err(|why| traffic::not_proven(&why))?;
            let names = Names::new(resolve::named_addresses(&policy.loaded), &own);
            audit::audit(&survey, &Doors::of(all, &open, &names))
        }
    };
    let least = match args.level {
        Threshold::Notice => Level::Notice,
        Threshold::Warning => Level::Warning,
        Threshold::Critical => Level::Critical,
    };
    if let Some(path) = &args.html {
        let page = audit::page(&audit, &title(shown.as_deref()));
        files::write(path, &page).map_err(|error| {
            Failure::new(Exit::System, format!("`{}` cannot be written: {error}", path.display()))
        })?;
    }
    if json {
        terminal.json(&of_audit(&audit, shown.as_deref()));
    } else {
        show(&audit, shown.as_deref(), terminal);
        if let Some(path) = &args.html {
            terminal.note(format!("the page is {}", path.display()));
        }
    }
    let found = audit.findings.iter().any(|finding| finding.level >= least);
    Ok(if found { Exit::False } else { Exit::Done })
}

fn title(shown: Option<&str>) -> String {
    let host = crate::host::name();
    match shown {
        Some(shown) => format!("{host}: {shown}"),
        None => format!("{host}: no firewall of doorward"),
    }
}

/// The policy that was named, or the one in force; none where none is.
fn asked(
    args: &Args,
    state: &Path,
    json: bool,
    terminal: &mut Terminal,
) -> Result<(Option<Sound>, Option<String>), Stop> {
    if let Some(file) = &args.file {
        let policy = policy::need_quietly(&Disk::new(file), json, terminal)?;
        return Ok((Some(policy), Some(file.to_string_lossy().into_owned())));
    }
    let read = Reader::open().and_then(|reader| reader.read_sets(&kernel::ours(), &|_| true));
    let snapshot = read.map_err(|error| kernel::unread(&error))?;
    let in_force = snapshot.ruleset.tables.first().and_then(compile::judging);
    let Some(number) = in_force.as_ref().and_then(compile::in_force) else { return Ok((None, None)) };
    let unknown = || {
        Failure::new(Exit::System, "the policy in force is not on the disk")
            .way_out("`doorward audit FILE` names the policy")
    };
    let store = Store::open(state)?.ok_or_else(unknown)?;
    let id = store.in_kernel(number).ok_or_else(unknown)?;
    let record = store.replay(id)?;
    let facts = store.index(id)?.facts();
    let policy = policy::as_then(&record, &record.main, facts, json, terminal)?;
    let shown = format!("{} (generation {id})", record.main);
    Ok((Some(policy), Some(shown)))
}

fn tone(level: Option<Level>) -> Tone {
    match level {
        Some(Level::Critical) => Tone::Bad,
        Some(Level::Warning) => Tone::Doubtful,
        Some(Level::Notice) => Tone::Plain,
        None => Tone::Good,
    }
}

fn show(audit: &Audit, shown: Option<&str>, terminal: &mut Terminal) {
    let mut rows =
        vec![["port", "who listens", "at", "who can come"].map(|head| cell(Tone::Faint, head)).to_vec()];
    rows.extend(audit.ports.iter().map(row));
    if audit.ports.is_empty() {
        terminal.line("nobody listens on this host");
    } else {
        terminal.lines(table(2, &[3], &rows));
    }
    for finding in &audit.findings {
        terminal.line("");
        show_finding(finding, terminal);
    }
    let of = |level| audit.findings.iter().filter(|finding| finding.level == level).count();
    let worst = audit.findings.iter().map(|finding| finding.level).max();
    let counted: Vec<String> =
        [(Level::Critical, "critical"), (Level::Warning, "warning"), (Level::Notice, "notice")]
            .into_iter()
            .filter(|(level, _)| of(*level) > 0)
            .map(|(level, word)| match word {
                "critical" => format!("{} critical", of(level)),
                word => count(of(level), word),
            })
            .collect();
    let about = shown.unwrap_or("no firewall of doorward");
    let words = if counted.is_empty() {
        format!("{about}: nothing odd")
    } else {
        format!("{about}: {}", counted.join(", "))
    };
    if !audit.findings.is_empty() {
        terminal.line("");
    }
    terminal.line(Line::of(tone(worst), words));
}

fn row(port: &Port) -> Vec<Cell> {
    let proto = port.proto.name().unwrap_or("?");
    let published = if port.published { "published " } else { "" };
    let service = port.service.map(|name| format!(" ({name})")).unwrap_or_default();
    let (behind, service) = if port.published { (service, String::new()) } else { (String::new(), service) };
    let programs: Vec<&str> =
        port.programs.iter().map(|one| one.strip_prefix("container ").unwrap_or(one)).collect();
    vec![
        cell(tone(port.level), format!("{published}{}/{proto}{service}", port.port)),
        cell(Tone::Plain, if programs.is_empty() { "?".to_owned() } else { programs.join(", ") + &behind }),
        cell(Tone::Faint, port.listens.join(", ")),
        cell(Tone::Plain, who(port)),
    ]
}

/// Who can come, over both families in one where they are the same.
fn who(port: &Port) -> String {
    if !port.outside {
        return "this host".to_owned();
    }
    match &port.reach {
        [four, six] if four == six => four.words().to_owned(),
        // Addresses tell their family.
        [Reach::Some(four), Reach::Some(six)] if are_addresses(four, false) && are_addresses(six, true) => {
            format!("{four}, {six}")
        }
        [four, Reach::Nobody] => format!("{}, IPv4", four.words()),
        [Reach::Nobody, six] => format!("{}, IPv6", six.words()),
        [four, six] => format!("{}, IPv4; {}, IPv6", four.words(), six.words()),
    }
}

/// Whether these are addresses or prefixes of that family, and no names.
fn are_addresses(words: &str, six: bool) -> bool {
    words.split(", ").all(|word| {
        let addr = word.split('/').next().and_then(|addr| addr.parse::<IpAddr>().ok());
        addr.is_some_and(|addr| addr.is_ipv6() == six)
    })
}

fn show_finding(finding: &Finding, terminal: &mut Terminal) {
    let word = finding.level.word();
    terminal.line(Line::of(tone(Some(finding.level)), format!("{word}: ")).and(Tone::Plain, &*finding.what));
    if let Some(by) = &finding.by {
        terminal.line(Line::of(Tone::Faint, format!("  {by}: {}", by.sentence)));
    }
    for way_out in &finding.ways_out {
        terminal.line(format!("  {way_out}"));
    }
}

fn of_audit(audit: &Audit, shown: Option<&str>) -> Value {
    let ports: Vec<Value> = audit
        .ports
        .iter()
        .map(|port| {
            json!({
                "protocol": port.proto.name(),
                "port": port.port,
                "service": port.service,
                "published": port.published,
                "programs": port.programs,
                "listens": port.listens,
                "outside": port.outside,
                "ipv4": port.reach[0].words(),
                "ipv6": port.reach[1].words(),
                "by": port.by.as_ref().map(json::origin),
                "level": port.level.map(Level::word),
            })
        })
        .collect();
    let findings: Vec<Value> = audit
        .findings
        .iter()
        .map(|finding| {
            json!({
                "level": finding.level.word(),
                "id": finding.id,
                "protocol": finding.door.and_then(|(proto, _)| proto.name()),
                "port": finding.door.map(|(_, port)| port),
                "what": finding.what,
                "by": finding.by.as_ref().map(json::origin),
                "ways_out": finding.ways_out,
            })
        })
        .collect();
    json!({ "policy": shown, "ports": ports, "findings": findings })
}

#[cfg(test)]
mod tests {
    use super::{Reach, who};
    use doorward::audit::Port;
    use doorward::net::Proto;

    #[test]
    fn families_are_told_where_nothing_else_tells_them() {
        let port = |four: &str, six: &str| Port {
            proto: Proto::TCP,
            port: 22,
            service: None,
            published: false,
            programs: Vec::new(),
            listens: Vec::new(),
            outside: true,
            by: None,
            reach: [four, six].map(|words| Reach::Some(words.to_owned())),
            level: None,
        };
        assert_eq!(
            who(&port("192.0.2.7, 192.0.2.16/28", "2001:db8::/32")),
            "192.0.2.7, 192.0.2.16/28, 2001:db8::/32"
        );
        assert_eq!(who(&port("office", "2001:db8::7")), "office, IPv4; 2001:db8::7, IPv6");
    }
}
