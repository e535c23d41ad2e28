//! `log`: what is dropped, and what sentences log, while it looks; nothing is stored anywhere.

use super::Outcome;
use super::hearing::{By, Event, Hearing, Told};
use crate::change;
use crate::cli::Log;
use crate::exit::Exit;
use crate::terminal::Terminal;
use crate::text::{Cell, Line, Tone, cell, count, number, table};
use doorward::logged::{Group, Groups, Kind, Packet, What};
use doorward::resolve::model::{Verdict, Way};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long it listens, if nobody says and it does not follow.
const LISTENS: Duration = Duration::from_secs(10);
/// So often it looks whether it is to end.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn run(args: &Log, terminal: &mut Terminal) -> Outcome {
    let mut hearing = Hearing::open()?;
    let interrupted = change::interrupts()?;
    let lasts = args.lasts.or((!args.follow).then_some(LISTENS));
    if !hearing.active() && !args.output.json {
        terminal.note(Line::of(Tone::Doubtful, "doorward is not active: nothing is logged"));
    }
    if let Some(lasts) = lasts.filter(|_| !args.follow && !args.output.json) {
        terminal.progress(&format!("listening for {} s", lasts.as_secs()), true);
    }
    let began = Instant::now();
    let mut seen = Seen::default();
    while !interrupted.load(Ordering::Relaxed) && !terminal.is_lost() {
        let left = lasts.map_or(PAUSE, |lasts| lasts.saturating_sub(began.elapsed()));
        if left.is_zero() {
            break;
        }
        for event in hearing.hear(left.min(PAUSE))? {
            if args.follow {
                follow(&event, args.output.json, terminal);
            } else {
                seen.add(event);
            }
        }
        if args.follow {
            terminal.flush();
        }
    }
    if !args.follow {
        if args.output.json {
            terminal.json(&seen.json(hearing.active()));
        } else {
            seen.show(terminal);
        }
    }
    Ok(Exit::Done)
}

fn follow(event: &Event, json: bool, terminal: &mut Terminal) {
    match event {
        Event::Packet(told) if json => terminal.json_line(&packet_json(told)),
        Event::Packet(told) => terminal.line(line(told)),
        // The next packet tells how many, and a program need not hear it twice.
        Event::Lost(None) if json => {}
        Event::Lost(lost) if json => terminal.json_line(&json!({ "lost": lost })),
        Event::Lost(lost) => terminal.note(Line::of(Tone::Doubtful, lost_words(*lost))),
    }
}

fn lost_words(lost: Option<u32>) -> String {
    match lost {
        Some(lost) => format!("{} came faster than they were read", count(lost as usize, "logged packet")),
        None => "logged packets come faster than they are read: some are lost".to_owned(),
    }
}

/// What became of a packet, in a word.
pub(super) const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Block => "blocked",
        Verdict::Reject => "rejected",
    }
}

pub(super) const fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Allow => Tone::Good,
        Verdict::Block | Verdict::Reject => Tone::Bad,
    }
}

/// `8080/tcp from 198.51.100.7 on eth0`
pub(super) fn about(packet: &Packet) -> String {
    let (end, iface) = match packet.way {
        Way::Out => (format!("to {}", packet.to), &packet.oif),
        Way::In => (format!("from {}", packet.from), &packet.iif),
        Way::Published | Way::Forward => (format!("from {} to {}", packet.from, packet.to), &packet.iif),
    };
    let way = if packet.way == Way::In { String::new() } else { format!("{} ", packet.way.word()) };
    let on = iface.as_ref().map(|name| format!(" on {name}")).unwrap_or_default();
    let user = packet.user.filter(|_| packet.way == Way::Out);
    let user = user.map(|user| format!(" by user {user}")).unwrap_or_default();
    format!("{way}{} {end}{on}{user}", packet.kind)
}

/// `policy.dw:3 block from spam`, or what is built in.
pub(super) fn by_words(by: &By) -> String {
    match &by.place {
        Some(place) => format!("{place} {}", by.words),
        None => format!("built in: {}", by.words),
    }
}

fn line(told: &Told) -> Line {
    let verdict = told.packet.what.verdict();
    Line::of(Tone::Faint, format!("{} ", told.time))
        .and(tone(verdict), word(verdict))
        .and(Tone::Plain, format!(" {}", about(&told.packet)))
        .and(Tone::Faint, format!(": {}", by_words(&told.by)))
}

/// All that was heard.
#[derive(Default)]
struct Seen {
    groups: Groups<By>,
    lost: u64,
    /// The kernel said that some were lost, and no packet came to tell how many.
    overrun: bool,
}

impl Seen {
    fn add(&mut self, event: Event) {
        match event {
            Event::Packet(told) => self.groups.add(told.by, told.packet),
            Event::Lost(Some(lost)) => {
                self.lost += u64::from(lost);
                self.overrun = false;
            }
            Event::Lost(None) => self.overrun = true,
        }
    }

    fn show(&self, terminal: &mut Terminal) {
        let groups = self.groups.by_packets();
        if groups.is_empty() {
            terminal.line("nothing was logged");
        } else {
            let headings = ["packets", "source", "what", "decided by"];
            let mut rows = vec![headings.map(|heading| cell(Tone::Faint, heading)).to_vec()];
            rows.extend(groups.into_iter().map(row));
            terminal.lines(table(0, &[2, 3], &rows));
        }
        if self.groups.beyond > 0 {
            let beyond = count(usize::try_from(self.groups.beyond).unwrap_or(usize::MAX), "packet");
            terminal.line(Line::of(Tone::Doubtful, format!("and {beyond} of too many other sources")));
        }
        if self.lost > 0 {
            let lost = u32::try_from(self.lost).unwrap_or(u32::MAX);
            terminal.line(Line::of(Tone::Doubtful, lost_words(Some(lost))));
        }
        if self.overrun {
            terminal.line(Line::of(Tone::Doubtful, lost_words(None)));
        }
    }

    fn json(&self, active: bool) -> Value {
        json!({
            "active": active,
            "packets": self.groups.packets,
            "beyond": self.groups.beyond,
            "lost": self.lost,
            "overrun": self.overrun,
            "groups": self.groups.by_packets().into_iter().map(group_json).collect::<Vec<_>>(),
        })
    }
}

fn row(group: &Group<By>) -> Vec<Cell> {
    let verdict = group.last.what.verdict();
    let what = format!("{} {}", word(verdict), kinds(group).join(", "));
    vec![
        number(Tone::Strong, group.packets),
        cell(Tone::Plain, group.peer.to_string()),
        cell(tone(verdict), what),
        cell(Tone::Faint, by_words(&group.by)),
    ]
}

pub(super) fn kinds(group: &Group<By>) -> Vec<String> {
    let more = group.more_kinds.then(|| "…".to_owned());
    group.kinds.iter().map(ToString::to_string).chain(more).collect()
}

fn group_json(group: &Group<By>) -> Value {
    let mut value = json!({
        "peer": group.peer.to_string(),
        "verdict": group.last.what.verdict().word(),
        "why": why(&group.last.what),
        "way": group.last.way.word(),
        "packets": group.packets,
        "kinds": kinds(group),
    });
    extend(&mut value, by_json(&group.by));
    value
}

fn packet_json(told: &Told) -> Value {
    let packet = &told.packet;
    let (protocol, from_port, to_port, icmp) = match packet.kind {
        Kind::Ports(proto, from, to) => (proto, Some(from), Some(to), None),
        Kind::Icmp(proto, kind) => (proto, None, None, Some(kind)),
        Kind::Other(proto) => (proto, None, None, None),
    };
    let mut value = json!({
        "time": told.time.to_string(),
        "verdict": packet.what.verdict().word(),
        "why": why(&packet.what),
        "way": packet.way.word(),
        "protocol": protocol.to_string(),
        "from": packet.from.to_string(),
        "from_port": from_port,
        "to": packet.to.to_string(),
        "port": to_port,
        "icmp_type": icmp,
        "iif": packet.iif,
        "oif": packet.oif,
        "user": packet.user,
    });
    extend(&mut value, by_json(&told.by));
    value
}

fn extend(value: &mut Value, more: Value) {
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
}

const fn why(what: &What) -> &'static str {
    match what {
        What::Sentence { .. } => "log",
        What::Default { .. } => "default",
        What::Blocked => "block",
        What::Rejected => "reject",
    }
}

fn by_json(by: &By) -> Value {
    let (file, line) = match by.place.as_deref().and_then(|place| place.rsplit_once(':')) {
        Some((file, line)) => (Some(file), line.parse::<u32>().ok()),
        None => (None, None),
    };
    json!({ "sentence": by.words, "file": file, "line": line })
}
