//! Sets of addresses by the names that policies give them; resolves nothing.

use super::describe::some;
use crate::net::{AddrSet, Family, Prefix};
use std::sync::Arc;

/// Names of sets of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    list: Vec<(String, Arc<AddrSet>)>,
    never: Never,
}

/// Addresses that nobody outside has, or can be reached at: whether they are among somebody's does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Never {
    pub(super) sources: AddrSet,
    pub(super) destinations: AddrSet,
}

impl Never {
    /// For a host with these addresses.
    pub(super) fn of(own: &AddrSet) -> Never {
        let prefix = |family, addr, len| Prefix::around(family, addr, len);
        let looped = [
            prefix(Family::V4, 0x7f00_0000, 8),
            prefix(Family::V6, 1, 128),
            prefix(Family::V6, 0xffff_0000_0000, 96),
        ];
        let no_source = [
            prefix(Family::V4, 0, 8),
            prefix(Family::V4, 224 << 24, 4),
            prefix(Family::V4, u32::MAX.into(), 32),
            prefix(Family::V6, 0, 127),
            prefix(Family::V6, 0xff << 120, 8),
        ];
        let sources = AddrSet::new(looped.into_iter().chain(no_source), []);
        Never { sources: sources.union(own), destinations: AddrSet::new(looped, []) }
    }
}

/// How a set is called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Called {
    /// In words: `office`, `anyone except 203.0.113.0/24`.
    pub words: String,
    /// Whether the words show of which family it is.
    pub shows_family: bool,
}

impl Called {
    /// Everybody.
    #[must_use]
    pub fn anyone() -> Called {
        Called { words: "anyone".to_owned(), shows_family: false }
    }
}

/// So many names together stand for one set.
const TOGETHER: usize = 4;
/// So many prefixes are taken out of a named set, or added to it, before it is told by its own.
const TAKEN_OUT: usize = 4;

impl Names {
    /// Of these definitions, on a host with these addresses; of two names for one set the first is used.
    #[must_use]
    pub fn new(list: Vec<(String, Arc<AddrSet>)>, own: &AddrSet) -> Names {
        Names { list, never: Never::of(own) }
    }

    /// How peers of one family are called.
    #[must_use]
    pub fn sources(&self, set: &AddrSet, family: Family) -> Called {
        self.of(set, family, &self.never.sources)
    }

    /// How destinations of one family are called.
    #[must_use]
    pub fn destinations(&self, set: &AddrSet, family: Family) -> Called {
        self.of(set, family, &self.never.destinations)
    }

    fn of(&self, set: &AddrSet, family: Family, never: &AddrSet) -> Called {
        let wide = set.union(never);
        if wide.is_all(family) {
            return Called::anyone();
        }
        if let Some(named) = self.named(set, &wide, family) {
            return named;
        }
        let (rest, wide_rest) = (wide.complement(), set.complement());
        if let Some(named) = self.named(&rest, &wide_rest, family) {
            return Called { words: format!("outside {}", named.words), ..named };
        }
        let prefixes = plainest(set, &wide, family);
        let taken_out =
            self.list.iter().filter(|(_, one)| covers(one, set, family)).find_map(|(name, one)| {
                let out = one.minus(&wide).prefixes(family);
                (out.len() < prefixes.len() && out.len() <= TAKEN_OUT)
                    .then(|| format!("{name} except {}", texts(&out)))
            });
        if let Some(words) = taken_out {
            return Called { words, shows_family: true };
        }
        let out = plainest(&rest, &wide_rest, family);
        let words = if out.len() < prefixes.len() {
            format!("anyone except {}", texts(&out))
        } else {
            texts(&prefixes)
        };
        Called { words, shows_family: true }
    }

    /// The names that make up a set together; what is only in the wider one does not matter.
    fn named(&self, set: &AddrSet, wide: &AddrSet, family: Family) -> Option<Called> {
        if set.lacks(family) {
            return None;
        }
        let inside = || self.list.iter().filter(|(_, one)| !one.lacks(family) && covers(wide, one, family));
        let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
        let called = |used: &[&(String, Arc<AddrSet>)]| Called {
            words: used.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            shows_family: used.iter().all(|(_, one)| one.lacks(other)),
        };
        if let Some(exact) = inside().find(|(_, one)| covers(one, set, family)) {
            return Some(called(&[exact]));
        }
        let mut used = Vec::new();
        let mut left = set.clone();
        while used.len() < TOGETHER && !left.lacks(family) {
            let Some(next) = inside().find(|(_, one)| meets(one, &left, family)) else { break };
            left = left.minus(&next.1);
            used.push(next);
        }
        if left.lacks(family) {
            return Some(called(&used));
        }
        if used.is_empty() {
            return None;
        }
        // Names and a few addresses, where that is no longer than addresses alone.
        let rest = plainest(&left, wide, family);
        let some = rest.len() <= TAKEN_OUT && used.len() + rest.len() <= plainest(set, wide, family).len();
        some.then(|| Called {
            words: format!("{}, {}", called(&used).words, texts(&rest)),
            shows_family: true,
        })
    }
}

/// The prefixes of a set, or of one between it and a wider one where these are fewer.
fn plainest(set: &AddrSet, wide: &AddrSet, family: Family) -> Vec<Prefix> {
    let exact = set.prefixes(family);
    let wider: Vec<Prefix> =
        wide.prefixes(family).into_iter().filter(|prefix| set.meets_prefix(*prefix)).collect();
    if wider.len() < exact.len() { wider } else { exact }
}

fn covers(a: &AddrSet, b: &AddrSet, family: Family) -> bool {
    match family {
        Family::V4 => a.v4().covers(b.v4()),
        Family::V6 => a.v6().covers(b.v6()),
    }
}

fn meets(a: &AddrSet, b: &AddrSet, family: Family) -> bool {
    match family {
        Family::V4 => a.v4().meets(b.v4()),
        Family::V6 => a.v6().meets(b.v6()),
    }
}

fn texts(prefixes: &[Prefix]) -> String {
    some(&prefixes.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> AddrSet {
        AddrSet::new(text.split(' ').map(|one| Prefix::parse(one).expect("a prefix")), [])
    }

    #[test]
    fn sets_are_called_by_their_names() {
        let names = Names::new(
            vec![
                ("office".to_owned(), Arc::new(set("203.0.113.0/24 2001:db8:10::/48"))),
                ("home".to_owned(), Arc::new(set("198.51.100.7"))),
                ("hosts".to_owned(), Arc::new(set("192.0.2.1 192.0.2.2"))),
            ],
            &set("203.0.113.2"),
        );
        for (text, words, shows_family) in [
            ("203.0.113.0/24", "office", false),
            // One of them is this host itself.
            (
                "203.0.113.0/31 203.0.113.3 203.0.113.4/30 203.0.113.8/29 203.0.113.16/28 203.0.113.32/27 \
              203.0.113.64/26 203.0.113.128/25",
                "office",
                false,
            ),
            ("198.51.100.7", "home", true),
            ("203.0.113.0/24 198.51.100.7", "office, home", false),
            ("203.0.113.0/24 192.0.2.7", "office, 192.0.2.7", true),
            ("203.0.113.0/25 203.0.113.128/26", "office except 203.0.113.192/26", true),
            ("198.51.100.8", "198.51.100.8", true),
            ("203.0.113.3 203.0.113.0/31", "203.0.113.0/30", true),
            ("64.0.0.0/2", "64.0.0.0/2", true),
        ] {
            let called = Called { words: words.to_owned(), shows_family };
            assert_eq!(names.sources(&set(text), Family::V4), called, "{text}");
        }
        let outside = |text: &str| names.sources(&set(text).complement(), Family::V4).words;
        assert_eq!(outside("203.0.113.0/24"), "outside office");
        assert_eq!(outside("203.0.113.0/24 198.51.100.7"), "outside office, home");
        assert_eq!(outside("10.0.0.0/8"), "anyone except 10.0.0.0/8");
        assert_eq!(outside("127.0.0.0/8"), "anyone");
        assert_eq!(names.sources(&set("2001:db8:10::/48"), Family::V6).words, "office");
        assert_eq!(names.destinations(&set("203.0.113.2"), Family::V4).words, "203.0.113.2");
        assert_eq!(names.sources(&AddrSet::everyone(), Family::V6), Called::anyone());
    }
}
