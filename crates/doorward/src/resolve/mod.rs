//! From sentences to values: names, services, lists, accounts; facts are handed in, nothing is asked.

mod cover;
mod facts;
mod list;
mod lists;
mod load;
pub mod model;
mod names;
mod nat;
mod path;
mod scope;
mod sentences;
mod shadow;
mod things;
mod warn;

pub use facts::{FileError, Files, Forwarding, Host, HostInterface, MemoryFiles};
pub use list::{Listed, list};
pub use lists::{List, MAX_ENTRIES};
pub use load::{Loaded, LoadedFile, load};
pub use model::Resolved;

use crate::net::AddrSet;
use crate::report::{Origin, Report, Severity, Span};
use crate::syntax::ast::{Sentence, SentenceKind};
use crate::syntax::write;
use names::Names;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The policy without names, and everything that is to say about it: what loading found is among the
/// reports. There is no policy when one of them is an error.
#[must_use]
pub fn resolve(loaded: &Loaded, host: &Host) -> (Option<Resolved>, Vec<Report>) {
    let mut reports = loaded.reports.clone();
    let names = Names::new(loaded, &host.interfaces, &mut reports);
    let mut context =
        Context { loaded, host, names, reports, missing_interfaces: BTreeSet::new(), whole: true };
    let (resolved, places) = context.sentences();
    let good = context.whole && context.reports.iter().all(|report| report.severity != Severity::Error);
    if good {
        // With a mistake in it a policy lacks sentences: what they would have changed is not known.
        warn::all(&mut context, &resolved, &places);
    }
    let mut reports = context.reports;
    reports.sort_by_key(|report| (report.span.file, report.span.start, report.severity == Severity::Warning));
    (good.then_some(resolved), reports)
}

/// The names that a policy gives to addresses, in the order of the text.
#[must_use]
pub fn named_addresses(loaded: &Loaded) -> Vec<(String, Arc<AddrSet>)> {
    // What is wrong with definitions is said when the policy is resolved.
    let names = Names::new(loaded, &[], &mut Vec::new());
    let defines = loaded.sentences.iter().filter_map(|sentence| match &sentence.kind {
        SentenceKind::Define(define) => Some(define.name.node.as_str()),
        _ => None,
    });
    let mut found: Vec<(String, Arc<AddrSet>)> = Vec::new();
    for name in defines {
        if let Some(names::Meaning::Addresses(set)) = names.own(name).map(|named| &named.meaning)
            && !found.iter().any(|(known, _)| known == name)
        {
            found.push((name.to_owned(), set.clone()));
        }
    }
    found
}

/// What every part of resolving needs at hand.
struct Context<'a> {
    loaded: &'a Loaded,
    host: &'a Host,
    names: Names<'a>,
    reports: Vec<Report>,
    /// Interfaces that are not there and were named already.
    missing_interfaces: BTreeSet<String>,
    /// Whether every sentence came through.
    whole: bool,
}

/// Where the sentences of a [`Resolved`] stand, index by index.
#[derive(Default)]
struct Places<'a> {
    rules: Vec<(Span, &'a crate::syntax::ast::RuleSentence)>,
    trust: Vec<Span>,
    nat: Vec<(Span, &'a crate::syntax::ast::Nat)>,
}

impl<'a> Context<'a> {
    fn sentences(&mut self) -> (Resolved, Places<'a>) {
        let mut bridges: Vec<String> =
            self.host.interfaces.iter().filter(|i| i.is_bridge).map(|i| i.name.clone()).collect();
        bridges.sort_unstable();
        let defaults = self.defaults();
        let (mut rules, mut trust, mut expects) = (Vec::new(), Vec::new(), Vec::new());
        let mut nat = Vec::new();
        let mut places = Places::default();
        let loaded = self.loaded;
        for sentence in &loaded.sentences {
            let origin = || self.origin(sentence);
            let came_through = match &sentence.kind {
                SentenceKind::Rule(said) => {
                    let origin = origin();
                    let rule = self.rule(said, origin);
                    places.rules.extend(rule.is_some().then_some((sentence.span, &**said)));
                    rule.map(|rule| rules.push(rule))
                }
                SentenceKind::Trust(values) => {
                    let origin = origin();
                    let one = self.trust(values, origin);
                    places.trust.extend(one.is_some().then_some(sentence.span));
                    one.map(|one| trust.push(one))
                }
                SentenceKind::Expect(said) => {
                    let origin = origin();
                    self.expect(said, origin).map(|one| expects.push(one))
                }
                // Names are gone by now, defaults were read before, files are included.
                SentenceKind::Define(_) | SentenceKind::Default(_) | SentenceKind::Include(_) => Some(()),
                SentenceKind::Nat(said) => {
                    let origin = origin();
                    let one = self.nat(said, origin);
                    places.nat.extend(one.is_some().then_some((sentence.span, said)));
                    one.map(|one| nat.push(one))
                }
            };
            self.whole &= came_through.is_some();
        }
        self.translated_twice(&nat, &places.nat);
        (Resolved { rules, trust, defaults, expects, nat, bridges }, places)
    }

    /// Where a sentence came from.
    fn origin(&self, sentence: &Sentence) -> Origin {
        let place = self.loaded.sources.place(sentence.span);
        Origin { file: place.file, line: place.line, sentence: write::sentence(sentence).into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;
    use std::fmt::Write;

    /// The short reader of the catalogue reads what the parser reads: every service as an own name
    /// opens the same as by the catalogue.
    #[test]
    fn the_catalogue_is_a_policy() {
        let mut policy = catalogue::TEXT.to_owned();
        for service in catalogue::services() {
            writeln!(policy, "allow {}", service.name).expect("a String takes all");
        }
        let files = MemoryFiles::default().with("policy.dw", &policy);
        let (resolved, reports) = resolve(&load(&files, "policy.dw"), &Host::default());
        let resolved = resolved.unwrap_or_else(|| panic!("{reports:?}"));
        assert_eq!(resolved.rules.len(), catalogue::services().len());
        for (rule, service) in resolved.rules.iter().zip(catalogue::services()) {
            assert_eq!(rule.traffic, things::service(service), "{}", service.name);
            assert!(!service.comment.is_empty() && !service.group.is_empty(), "{}", service.name);
        }
    }

    /// What a policy translates, said without names, translates the same.
    #[test]
    fn translations_without_names() {
        let nat = |text: &str| {
            let files = MemoryFiles::default().with("policy.dw", text);
            let (resolved, reports) = resolve(&load(&files, "policy.dw"), &Host::default());
            resolved.unwrap_or_else(|| panic!("{reports:?}")).nat
        };
        let said = nat("define lan = 10.0.0.0/24, 10.0.1.1, fd00:10::/64\ndefine outer = interface eth0\n\
            masquerade from lan on outer, wg*\nredirect 80/tcp to 8080\nredirect 5000-5100/tcp+udp to 53\n\
            publish 2222/tcp to 10.0.0.5:22\npublish 53/tcp+udp to [fd00:10::5]:5353\n");
        let what = |nat: &[model::Nat]| nat.iter().map(|one| one.what.clone()).collect::<Vec<_>>();
        let sentences: Vec<String> = said.iter().flat_map(|one| one.what.sentences()).collect();
        let again = nat(&sentences.join("\n"));
        // Each port may have become a sentence of its own.
        let again: Vec<String> = again.iter().flat_map(|one| one.what.sentences()).collect();
        assert_eq!(again, sentences);
        assert_eq!(what(&nat(&sentences[0]))[..], what(&said)[..1]);
        assert_eq!(sentences[0], "masquerade from 10.0.0.0/24, 10.0.1.1, fd00:10::/64 on eth0, wg*");
    }
}
