//! What rules say of packets that they log, and what is told of such a packet: prefix, headers, groups of many.
//! Listens to nothing.
//!
//! Log lines go to one group of nflog, not to the kernel's own log: while nobody listens, they go nowhere.

mod groups;
mod packet;

use crate::report::Origin;
use crate::resolve::model::{Verdict, Way};
use std::fmt;

pub use groups::{Group, Groups};
pub use packet::{Kind, Packet};

/// The group of nflog: "door" on the keys of a telephone. Small numbers are what examples of other programs use.
pub const GROUP: u16 = 3667;

/// First word of every prefix.
const OURS: &str = "doorward ";

/// Why a rule logs a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    /// A sentence says `log`.
    Sentence {
        /// What it decides.
        verdict: Verdict,
        /// Its place, as comments have it ([`Origin::place`]).
        place: String,
    },
    /// No sentence was about it, and the default drops it.
    Default {
        /// Whose default.
        way: Way,
        /// The place of a `default` sentence.
        place: Option<String>,
    },
    /// Dropped by a `block` sentence; which, tells the packet.
    Blocked,
    /// Refused by a `reject` sentence or default; which, tells the packet.
    Rejected,
}

impl What {
    /// A sentence that says `log`.
    #[must_use]
    pub fn sentence(origin: &Origin, verdict: Verdict) -> What {
        What::Sentence { verdict, place: origin.place() }
    }

    /// The default of a way.
    #[must_use]
    pub fn default(way: Way, origin: Option<&Origin>) -> What {
        What::Default { way, place: origin.map(Origin::place) }
    }

    /// What became of the packet.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            What::Sentence { verdict, .. } => *verdict,
            What::Default { .. } | What::Blocked => Verdict::Block,
            What::Rejected => Verdict::Reject,
        }
    }

    /// Reads a prefix; none is ours without the word for it.
    #[must_use]
    pub fn read(prefix: &str) -> Option<What> {
        let rest = prefix.strip_prefix(OURS)?.trim_end();
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        match first {
            "block" if more.is_empty() => Some(What::Blocked),
            "reject" if more.is_empty() => Some(What::Rejected),
            "default" => {
                let (way, place) = more.split_once(' ').unwrap_or((more, ""));
                let way = Way::ALL.into_iter().find(|one| one.word() == way)?;
                Some(What::Default { way, place: (!place.is_empty()).then(|| place.to_owned()) })
            }
            "log" => {
                let (verdict, place) = more.split_once(' ')?;
                let verdict = Verdict::ALL.into_iter().find(|one| one.word() == verdict)?;
                Some(What::Sentence { verdict, place: place.to_owned() })
            }
            _ => None,
        }
    }
}

/// The prefix that a rule gives its log lines; what [`What::read`] reads.
impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OURS)?;
        match self {
            What::Sentence { verdict, place } => write!(f, "log {} {place}", verdict.word()),
            What::Default { way, place: Some(place) } => write!(f, "default {} {place}", way.word()),
            What::Default { way, place: None } => write!(f, "default {}", way.word()),
            What::Blocked => f.write_str("block"),
            What::Rejected => f.write_str("reject"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_read_back_and_fit_into_the_kernel() {
        /// `NF_LOG_PREFIXLEN`, with its final zero.
        const MOST: usize = 128;
        let origin = Origin { file: "/etc/ä b/".repeat(30).into(), line: u32::MAX, sentence: "x".into() };
        let mut all = vec![What::Blocked, What::Rejected];
        for verdict in Verdict::ALL {
            all.push(What::sentence(&origin, verdict));
        }
        for way in Way::ALL {
            all.extend([What::default(way, None), What::default(way, Some(&origin))]);
        }
        for what in all {
            let prefix = what.to_string();
            assert!(prefix.len() < MOST, "{prefix}");
            assert_eq!(What::read(&prefix), Some(what), "{prefix}");
        }
    }

    #[test]
    fn what_others_say_is_not_ours() {
        for other in ["", "doorward", "doorward ", "ufw block", "doorward default", "doorward log x y"] {
            assert_eq!(What::read(other), None, "{other}");
        }
    }
}
