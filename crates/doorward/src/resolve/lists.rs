//! List files: one address, prefix or range a line, strictly read; repairs nothing and fetches nothing.

use crate::net::{AddrSet, IpRange, Prefix, PrefixError};
use crate::report::{FileId, Report, Sources, Span};
use crate::syntax;
use std::net::IpAddr;
use std::sync::Arc;

/// A list that was read without a mistake.
#[derive(Clone, Debug)]
pub struct List {
    /// Who is on it.
    pub set: Arc<AddrSet>,
    /// How many lines name somebody.
    pub entries: usize,
}

/// A list may be so long. The longest that are published hold about a million; above this it is a
/// mistake in what writes the file, and would cost the kernel some hundred MiB.
pub const MAX_ENTRIES: usize = 4_000_000;

/// So many bad lines of one list are shown; a file of another form has nothing but bad lines.
const MAX_SHOWN: usize = 8;

/// Reads the text of a list. Every bad line is an error with its place in the list; the text goes
/// into `sources` only then.
pub(super) fn read(name: &str, text: &str, sources: &mut Sources) -> Result<List, Vec<Report>> {
    read_at_most(MAX_ENTRIES, name, text, sources)
}

fn read_at_most(most: usize, name: &str, text: &str, sources: &mut Sources) -> Result<List, Vec<Report>> {
    let mut ranges = Vec::new();
    let mut bad: Vec<(usize, &str, Wrong)> = Vec::new();
    let (mut bad_lines, mut entries, mut next) = (0usize, 0usize, 0usize);
    // Prefixes go into the set as they are read: a long list is held once, as intervals.
    let prefixes = text.split('\n').filter_map(|line| {
        let at = next;
        next += line.len() + 1;
        let said = line.split(['#', ';']).next().unwrap_or("").trim();
        if said.is_empty() {
            return None;
        }
        entries += 1;
        match entry(said) {
            Ok(Entry::Prefix(prefix)) => return Some(prefix),
            Ok(Entry::Range(range)) => ranges.push(range),
            Err(wrong) => {
                bad_lines += 1;
                if bad.len() < MAX_SHOWN {
                    let lead = line.len() - line.trim_start().len();
                    bad.push((at + lead, said, wrong));
                }
            }
        }
        None
    });
    let mut set = AddrSet::new(prefixes, []);
    if !ranges.is_empty() {
        set = set.union(&AddrSet::new([], ranges));
    }
    if bad.is_empty() && entries <= most {
        return Ok(List { set: Arc::new(set), entries });
    }
    let file = sources.add(name, text);
    let mut reports: Vec<Report> =
        bad.iter().map(|(start, said, wrong)| wrong.report(said, place(file, *start, said))).collect();
    if let Some(last) = reports.pop() {
        let more = bad_lines - bad.len();
        reports.push(match more {
            0 => last,
            1 => last.way_out(format!("one more line of {name} is bad")),
            more => last.way_out(format!("{more} more lines of {name} are bad")),
        });
    } else {
        let first = Span { file, start: 0, end: 0 };
        reports.push(
            Report::error("list-too-long", first, format!("{name} has {entries} lines; a list takes {most}"))
                .way_out("say prefixes instead of single addresses, or leave the smallest senders out"),
        );
    }
    Err(reports)
}

enum Entry {
    Prefix(Prefix),
    Range(IpRange),
}

/// What is wrong with a line.
enum Wrong {
    /// Several things, or an address with words behind it.
    Words,
    HostName,
    Everything,
    Prefix(PrefixError),
}

fn entry(said: &str) -> Result<Entry, Wrong> {
    if let Ok(prefix) = Prefix::parse(said) {
        return if prefix.is_everything() { Err(Wrong::Everything) } else { Ok(Entry::Prefix(prefix)) };
    }
    if said.contains([' ', '\t', ',']) {
        return Err(Wrong::Words);
    }
    if let Some((first, last)) = said.split_once('-')
        && let (Ok(first), Ok(last)) = (first.parse::<IpAddr>(), last.parse::<IpAddr>())
    {
        let range = IpRange::new(first, last).map_err(Wrong::Prefix)?;
        let set = AddrSet::new([], [range]);
        return if set.is_all(range.family()) { Err(Wrong::Everything) } else { Ok(Entry::Range(range)) };
    }
    match Prefix::parse(said) {
        Err(PrefixError::Address) if is_host_name(said) => Err(Wrong::HostName),
        Err(error) => Err(Wrong::Prefix(error)),
        Ok(prefix) => Ok(Entry::Prefix(prefix)),
    }
}

/// Whether the parser would call it a host name.
fn is_host_name(said: &str) -> bool {
    syntax::host_name_report(said, Span { file: FileId(0), start: 0, end: 0 }).is_some()
}

impl Wrong {
    fn report(&self, said: &str, span: Span) -> Report {
        // A line can be as long as the file; a message cannot.
        let said: String =
            said.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let error = |id, message: String| Report::error(id, span, message);
        match self {
            Wrong::Words => error("list-words", format!("`{said}` is more than an address"))
                .label("one address, prefix or range a line")
                .way_out("a comment starts with `#` or `;`"),
            Wrong::HostName => error("list-host-name", format!("`{said}` is the name of a host"))
                .label("names are not resolved")
                .way_out("write its addresses, one a line"),
            Wrong::Everything => error("list-everything", format!("`{said}` on a list is everybody"))
                .label("take this line out")
                .way_out("a sentence without the list speaks of everybody"),
            Wrong::Prefix(PrefixError::HostBits(meant)) => {
                error("list-host-bits", format!("`{said}` has bits behind its length"))
                    .label(format!("did you mean `{meant}`?"))
                    .way_out("nothing on a list is repaired silently")
            }
            Wrong::Prefix(PrefixError::Mapped(four)) => {
                error("list-mapped", format!("`{said}` is an IPv4 address written as IPv6"))
                    .label(format!("did you mean `{four}`?"))
                    .way_out("nothing on a list is repaired silently")
            }
            Wrong::Prefix(PrefixError::Length(family)) => {
                error("list-length", format!("`{said}` has no prefix length of {family}"))
                    .label(format!("a number from 1 to {}, without a zero before it", family.bits()))
            }
            Wrong::Prefix(PrefixError::Backwards) => {
                error("list-backwards", format!("`{said}` ends before it starts"))
                    .label("the lower address comes first")
            }
            Wrong::Prefix(PrefixError::MixedRange) => {
                error("list-mixed-range", format!("`{said}` mixes IPv4 and IPv6"))
                    .label("a range has one family; write two lines")
            }
            Wrong::Prefix(PrefixError::Address) => error("list-entry", format!("`{said}` is no address"))
                .label("an address, a prefix or a range, one a line")
                .way_out("numbers of an address have no leading zeros; a comment starts with `#` or `;`"),
        }
    }
}

fn place(file: FileId, start: usize, said: &str) -> Span {
    let start = u32::try_from(start).unwrap_or(u32::MAX);
    let len = u32::try_from(said.len()).unwrap_or(u32::MAX);
    Span { file, start, end: start.saturating_add(len) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use std::fmt::Write;
    use std::time::{Duration, Instant};

    fn ids(text: &str) -> Vec<&'static str> {
        match read("spam.txt", text, &mut Sources::default()) {
            Ok(_) => Vec::new(),
            Err(reports) => reports.iter().map(|r| r.id).collect(),
        }
    }

    #[test]
    fn comments_blank_lines_and_line_ends() {
        let text = "# a\r\n\r\n10.0.0.1 ; SBL1\r\n  10.0.1.0/24\t# b\n2001:db8::/32\n10.2.0.0-10.2.0.9";
        let list = read("spam.txt", text, &mut Sources::default()).expect("a good list");
        assert_eq!(list.entries, 4);
        assert_eq!(list.set.v4().as_slice().len(), 3);
        assert!(!list.set.lacks(Family::V6));
    }

    #[test]
    fn nothing_is_repaired() {
        let text = "0.0.0.0/0\n10.0.0.1/24\n010.0.0.1\n::ffff:1.2.3.4\n10.0.0.9-10.0.0.1\n\
                    10.0.0.1-2001:db8::1\n10.0.0.0/33\nexample.org\n";
        assert_eq!(
            ids(text),
            [
                "list-everything",
                "list-host-bits",
                "list-entry",
                "list-mapped",
                "list-backwards",
                "list-mixed-range",
                "list-length",
                "list-host-name"
            ]
        );
        assert_eq!(ids("10.0.0.1, 10.0.0.2"), ["list-words"]);
        assert_eq!(ids("\u{feff}10.0.0.1"), ["list-entry"]);
        assert_eq!(ids("0.0.0.0-255.255.255.255"), ["list-everything"]);
    }

    #[test]
    fn a_file_of_another_form_is_no_flood() {
        let reports = read("a.csv", &"a;b\nx\n".repeat(1000), &mut Sources::default()).expect_err("bad");
        assert_eq!(reports.len(), MAX_SHOWN);
        assert_eq!(
            reports.last().map(|r| r.ways_out.last().map(String::as_str)),
            Some(Some("1992 more lines of a.csv are bad"))
        );
    }

    #[test]
    fn a_list_without_end() {
        let read =
            |lines| read_at_most(100, "spam.txt", &"192.0.2.1\n".repeat(lines), &mut Sources::default());
        assert!(read(100).is_ok());
        let reports = read(101).expect_err("too long");
        assert_eq!(reports.iter().map(|r| r.id).collect::<Vec<_>>(), ["list-too-long"]);
    }

    /// A million prefixes: 8 bytes an interval of IPv4 is what stays of them.
    #[test]
    fn a_million_prefixes() {
        let mut text = String::new();
        for n in 0..1_000_000u32 {
            // Neighbours are left out, so that no two prefixes merge.
            let addr = std::net::Ipv4Addr::from_bits(0x0100_0000 + n * 512);
            writeln!(text, "{addr}/24").expect("a String takes all");
        }
        let start = Instant::now();
        let list = read("spam.txt", &text, &mut Sources::default()).expect("a good list");
        let took = start.elapsed();
        let intervals = list.set.v4().as_slice();
        assert_eq!(intervals.len(), 1_000_000);
        assert!(std::mem::size_of_val(intervals) <= 40_000_000);
        let bound = if cfg!(debug_assertions) { 20 } else { 1 };
        assert!(took < Duration::from_secs(bound), "{took:?}");
    }
}
