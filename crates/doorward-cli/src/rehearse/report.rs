//! The table of doors: what was promised beside what the kernel did; prints nothing itself.

use super::Fate;
use super::plan::{self, Plan};
use super::talk::Talks;
use crate::json;
use doorward::net::Family;
use doorward::report::Origin;
use doorward::resolve::model::Verdict;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Columns of the table, together 80.
const WORDS: usize = 44;
const PROMISED: usize = 10;
const CELL: usize = 13;
/// So many disagreements are told one by one.
const DETAILS: usize = 20;

/// What a rehearsal found.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    /// The rows, in the order of the text.
    pub(crate) doors: Vec<Door>,
    /// Packets whose fate was another than promised, a line each.
    pub(crate) disagreements: Vec<Disagreement>,
    /// What could not be tried or was left out, a line each.
    pub(crate) untried: Vec<String>,
    /// How many packets were sent.
    pub(crate) packets: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
}

/// A line of the report.
#[derive(Debug)]
pub(crate) struct Line {
    /// What kind of line it is.
    pub(crate) mark: Mark,
    /// What it says.
    pub(crate) text: String,
}

/// Kinds of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// A row that agrees, or more about one that does not.
    Plain,
    /// The names of the columns.
    Head,
    /// All is well.
    Good,
    /// A disagreement.
    Bad,
    /// Something could not be tried.
    Doubtful,
}

impl Line {
    fn new(mark: Mark, text: impl Into<String>) -> Line {
        Line { mark, text: text.into() }
    }
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Door {
    /// The sentence, if it is one's.
    pub(crate) origin: Option<Origin>,
    /// Whether the row is about what is next to what the sentence names.
    pub(crate) near: bool,
    /// What stands in the table.
    pub(crate) words: String,
    /// What the policy promises.
    pub(crate) promised: Verdict,
    /// What the kernel did, IPv4 and IPv6.
    pub(crate) cells: [Cell; 2],
}

/// What became of the packets of one row and family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    /// How often each verdict was given.
    pub(crate) verdicts: BTreeMap<&'static str, u64>,
    /// How many packets could not be tried.
    pub(crate) untried: u64,
}

/// A packet whose fate was another than promised.
#[derive(Debug)]
pub(crate) struct Disagreement {
    /// What the row is about.
    pub(crate) words: String,
    /// The packet.
    pub(crate) connection: String,
    /// What was promised.
    pub(crate) promised: Verdict,
    /// What the kernel did.
    pub(crate) kernel: Verdict,
}

impl Rehearsal {
    /// Whether the kernel kept every promise that was tried, and any was.
    #[must_use]
    pub(crate) fn agrees(&self) -> bool {
        self.disagreements.is_empty() && self.doors.iter().any(Door::was_tried)
    }

    /// The report, at most 80 columns wide but for long packets.
    #[must_use]
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut out = vec![line("door", "promised", ["IPv4".to_owned(), "IPv6".to_owned()], Mark::Head)];
        for door in &self.doors {
            let words = if door.near { "  next to it" } else { door.words.as_str() };
            let cells = door.cells.each_ref().map(|cell| cell.text(door.promised));
            let mark = if door.agrees() { Mark::Plain } else { Mark::Bad };
            out.push(line(words, past(door.promised), cells, mark));
        }
        out.push(Line::new(Mark::Plain, ""));
        for disagreement in self.disagreements.iter().take(DETAILS) {
            let Disagreement { words, connection, promised, kernel } = disagreement;
            out.push(Line::new(Mark::Bad, words));
            out.push(Line::new(Mark::Plain, format!("  {connection}")));
            let verdicts = format!("  promised: {}, the kernel: {}", past(*promised), past(*kernel));
            out.push(Line::new(Mark::Plain, verdicts));
        }
        if self.disagreements.len() > DETAILS {
            let more = self.disagreements.len() - DETAILS;
            out.push(Line::new(Mark::Bad, format!("and {more} more packets like these")));
        }
        out.extend(self.untried.iter().map(|why| Line::new(Mark::Doubtful, format!("not tried: {why}"))));
        let seconds = self.elapsed.as_secs_f64();
        let tried = self.doors.iter().filter(|door| door.was_tried()).count();
        let (mark, end) = match self.disagreements.len() {
            0 if tried == 0 => (Mark::Bad, "nothing could be tried, so nothing is claimed".to_owned()),
            0 => (Mark::Good, format!("the kernel keeps the promise of all {tried} rows")),
            1 => (Mark::Bad, "the kernel does otherwise than promised with 1 packet".to_owned()),
            n => (Mark::Bad, format!("the kernel does otherwise than promised with {n} packets")),
        };
        out.push(Line::new(mark, format!("{end} ({} packets, {seconds:.1} s)", self.packets)));
        out
    }

    /// The same for programs.
    #[must_use]
    pub(crate) fn json(&self) -> Value {
        let door = |door: &Door| {
            json!({
                "sentence": door.origin.as_ref().map(json::origin),
                "words": door.words,
                "near": door.near,
                "promised": door.promised.word(),
                "ipv4": door.cells[0].json(),
                "ipv6": door.cells[1].json(),
                "agrees": door.agrees(),
            })
        };
        let disagreement = |it: &Disagreement| {
            json!({
                "words": it.words,
                "connection": it.connection,
                "promised": it.promised.word(),
                "kernel": it.kernel.word(),
            })
        };
        json!({
            "agrees": self.agrees(),
            "doors": self.doors.iter().map(door).collect::<Vec<_>>(),
            "disagreements": self.disagreements.iter().map(disagreement).collect::<Vec<_>>(),
            "untried": self.untried,
            "packets": self.packets,
            "seconds": self.elapsed.as_secs_f64(),
        })
    }
}

impl Door {
    fn was_tried(&self) -> bool {
        self.cells.iter().any(|cell| !cell.verdicts.is_empty())
    }

    fn agrees(&self) -> bool {
        self.cells.iter().all(|cell| cell.other_than(self.promised) == 0)
    }
}

impl Cell {
    fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Judged(verdict) => *self.verdicts.entry(verdict.word()).or_default() += 1,
            Fate::Untried(_) => self.untried += 1,
        }
    }

    fn other_than(&self, promised: Verdict) -> u64 {
        self.verdicts.iter().filter(|(word, _)| **word != promised.word()).map(|(_, count)| count).sum()
    }

    /// `allowed 4`, or `NOT 1 of 4`, or `-`.
    fn text(&self, promised: Verdict) -> String {
        let all: u64 = self.verdicts.values().sum();
        match self.other_than(promised) {
            0 if all == 0 => "-".to_owned(),
            0 => format!("{} {all}", past(promised)),
            others => format!("NOT {others} of {all}"),
        }
    }

    fn json(&self) -> Value {
        let mut map: Map<String, Value> =
            self.verdicts.iter().map(|(word, count)| ((*word).to_owned(), json!(count))).collect();
        map.insert("untried".to_owned(), json!(self.untried));
        Value::Object(map)
    }
}

/// Where a row stands: what it is about, whether it is about what is next to that, and which came first.
type Key = (usize, bool, usize);

/// Puts rows together.
pub(super) fn build(
    plan: Plan,
    fates: Vec<Option<Fate>>,
    talks: Talks,
    packets: u64,
    elapsed: Duration,
) -> Rehearsal {
    let mut rows: BTreeMap<Key, Door> = BTreeMap::new();
    let mut disagreements = Vec::new();
    let mut reasons: BTreeMap<(String, Family), u64> = BTreeMap::new();
    let keys: Vec<_> = plan.doors.iter().enumerate().map(|(at, door)| key(door, at)).collect();
    for (at, door) in plan.doors.into_iter().enumerate() {
        rows.insert(keys[at], row(door));
    }
    let mut cells: Vec<(Key, Family, String, Fate)> = Vec::new();
    for (probe, fate) in plan.probes.into_iter().zip(fates) {
        let fate = fate.unwrap_or_else(|| Fate::Untried("this user cannot be played here".to_owned()));
        cells.push((keys[probe.door], probe.connection.family(), probe.connection.to_string(), fate));
    }
    for (door, family, connection, fate) in talks.cells {
        let key = (door.subject.0, false, usize::from(door.promised != Verdict::Allow));
        // The rows of limits are told apart by their words.
        let at = rows
            .iter()
            .find(|(_, row)| row.words == door.words)
            .map_or((key.0, false, rows.len()), |(k, _)| *k);
        rows.entry(at).or_insert_with(|| row(door));
        cells.push((at, family, connection, fate));
    }
    for (key, family, connection, fate) in cells {
        let Some(door) = rows.get_mut(&key) else { continue };
        let index = usize::from(family == Family::V6);
        door.cells[index].count(&fate);
        match fate {
            Fate::Judged(kernel) if kernel != door.promised => {
                let (words, promised) = (door.words.clone(), door.promised);
                disagreements.push(Disagreement { words, connection, promised, kernel });
            }
            Fate::Judged(_) => {}
            Fate::Untried(why) => *reasons.entry((why, family)).or_default() += 1,
        }
    }
    let mut untried: Vec<String> = reasons
        .into_iter()
        .map(|((why, family), count)| format!("{count} {family} packets: {why}"))
        .collect();
    untried.extend(plan.left_out);
    untried.extend(talks.left_out);
    Rehearsal { doors: rows.into_values().collect(), disagreements, untried, packets, elapsed }
}

fn key(door: &plan::Door, at: usize) -> Key {
    (door.subject.0, door.subject.1, at)
}

fn row(door: plan::Door) -> Door {
    Door {
        origin: door.origin,
        near: door.subject.1,
        words: door.words,
        promised: door.promised,
        cells: [Cell::default(), Cell::default()],
    }
}

fn line(words: &str, promised: &str, cells: [String; 2], mark: Mark) -> Line {
    let [four, six] = cells;
    let line = format!("{:WORDS$}{promised:PROMISED$}{four:CELL$}{six}", cut(words));
    Line::new(mark, line.trim_end())
}

/// As much as fits before the next column.
fn cut(words: &str) -> String {
    if words.chars().count() < WORDS {
        return words.to_owned();
    }
    let mut short: String = words.chars().take(WORDS - 2).collect();
    short.push('…');
    short
}

/// What a verdict did.
fn past(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allowed",
        Verdict::Block => "blocked",
        Verdict::Reject => "rejected",
    }
}
