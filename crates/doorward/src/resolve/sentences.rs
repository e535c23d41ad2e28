//! Sentences as rules, trust, defaults and expectations; compares no sentence with another.

use super::Context;
use super::model;
use super::model::{DefaultRule, Defaults, Expect, Limit, Passive, Rule, Traffic, Trust, Verdict, Way};
use super::names::{Meaning, Wanted};
use super::things::{self, Distinct};
use crate::catalogue;
use crate::net::{Family, PortRange, Proto};
use crate::report::{Origin, Report, Span, Spanned};
use crate::syntax::ast::{self, ExpectSentence, RuleSentence, Thing, Value};
use std::collections::HashMap;

/// What a `block` or `reject` without a thing and without a way covers; bans cover the same.
const ALL_BUT_OUT: [Way; 3] = [Way::In, Way::Published, Way::Forward];

/// The port that the FTP helper of the kernel is given to.
const FTP: u16 = 21;
/// FTP whose control connection is encrypted from the first byte.
const FTPS: u16 = 990;

impl Context<'_> {
    /// `allow`, `block`, `reject`.
    pub(super) fn rule(&mut self, said: &RuleSentence, origin: Origin) -> Option<Rule> {
        let verdict = said.verdict.node;
        let ways = match &said.way {
            Some(way) => vec![way.node],
            None if said.things.is_empty() => ALL_BUT_OUT.to_vec(),
            None => vec![Way::In],
        };
        let traffic = self.traffic(&said.things);
        let scope = self.scope(&said.scope, &ways);
        let (traffic, scope) = (traffic?, scope?);
        if verdict != Verdict::Allow && traffic.contains(&Traffic::Any) && self.shuts(said, &scope) {
            return None;
        }
        let limit = said.limit.as_ref().map(|limit| self.limit(limit, &ways));
        let passive = match &said.passive {
            Some(range) => Some(self.passive(said, range, &traffic)?),
            None => None,
        };
        Some(Rule { origin, verdict, ways, traffic, scope, limit, passive, log: said.log.is_some() })
    }

    /// Says so where a sentence leaves nothing open in a family: that is a default, and none by mistake.
    fn shuts(&mut self, said: &RuleSentence, scope: &model::Scope) -> bool {
        let narrowed = !scope.on.is_empty() || scope.user.is_some() || scope.group.is_some();
        let (from, to) = (scope.from.set(), scope.to.set());
        let shut = Family::BOTH.into_iter().find(|family| from.is_all(*family) && to.is_all(*family));
        let Some(family) = shut.filter(|_| !narrowed) else { return false };
        let way = said.way.as_ref().map_or("in", |way| way.node.word());
        let verb = said.verdict.node.word();
        self.reports.push(
            Report::error(
                "shuts-everybody",
                said.verdict.span,
                format!("this shuts everything that comes by {family}, whatever else is allowed"),
            )
            .label("name what is meant, or from where")
            .way_out(format!("to shut all that no sentence allows: `default {verb} {way}`")),
        );
        true
    }

    /// `trust`: from there, nothing blocks; it opens nothing by itself.
    pub(super) fn trust(&mut self, values: &[Spanned<Value>], origin: Origin) -> Option<Trust> {
        let who = self.addresses(values)?;
        let everybody = Family::BOTH.into_iter().find(|family| who.is_all(*family));
        if let (Some(family), Some(first)) = (everybody, values.first()) {
            self.reports.push(
                Report::error(
                    "trust-everybody",
                    first.span,
                    format!("together these are all of {family}: every block would be lifted"),
                )
                .label("name those who are trusted")
                .way_out("`default allow in` opens everything and keeps what blocks"),
            );
            return None;
        }
        Some(Trust { who, origin })
    }

    /// `expect`.
    pub(super) fn expect(&mut self, said: &ExpectSentence, origin: Origin) -> Option<Expect> {
        let way = said.way.as_ref().map_or(Way::In, |way| way.node);
        let traffic = self.traffic(&said.things);
        let scope = self.scope(&said.scope, &[way]);
        Some(Expect { origin, way, traffic: traffic?, scope: scope?, allowed: said.allowed.node })
    }

    /// What a sentence speaks of; everything if it names nothing.
    fn traffic(&mut self, said: &[Spanned<Thing>]) -> Option<Vec<Traffic>> {
        if said.is_empty() {
            return Some(vec![Traffic::Any]);
        }
        let mut all = Distinct::default();
        let mut whole = true;
        for thing in said {
            let one = match &thing.node {
                Thing::Anything => Some(vec![Traffic::Any]),
                Thing::Ping => Some(vec![things::PING]),
                Thing::Ports(ports) => Some(things::ports(*ports)),
                Thing::Icmp(kind) => {
                    things::icmp(&kind.node, thing.span, &mut self.reports).map(|one| vec![one])
                }
                Thing::Protocol(word) => {
                    things::protocol(&word.node, thing.span, &mut self.reports).map(|one| vec![one])
                }
                Thing::Name(name) => self.named_thing(name, thing.span),
            };
            match one {
                Some(one) => all.extend(&one),
                None => whole = false,
            }
        }
        whole.then(|| all.into_vec())
    }

    fn named_thing(&mut self, name: &str, span: Span) -> Option<Vec<Traffic>> {
        let wrong = |what: &str| {
            Report::error(
                "not-a-thing",
                span,
                format!("`{name}` stands for {what}, and a thing stands here, like `ssh`"),
            )
        };
        let report = match self.names.own(name).map(|named| (&named.meaning, named.define.name.span)) {
            Some((Meaning::Things(list), _)) => return Some(list.to_vec()),
            Some((Meaning::Broken, _)) => return None,
            Some((Meaning::Addresses(_), place)) => wrong("addresses")
                .label(format!("did you mean `anything from {name}`?"))
                .other(place, "it is defined here"),
            Some((Meaning::Interfaces(_), place)) => wrong("interfaces")
                .label(format!("did you mean `anything on {name}`?"))
                .other(place, "it is defined here"),
            None if self.names.is_broken(name) => return None,
            None => match catalogue::named(name) {
                Some(service) => return Some(things::service(&service)),
                None if self.host.interfaces.iter().any(|i| i.name == name) => {
                    wrong("an interface of this host").label(format!("did you mean `anything on {name}`?"))
                }
                None => self.names.unknown(name, span, Wanted::Things),
            },
        };
        self.reports.push(report);
        None
    }

    fn limit(&mut self, said: &Spanned<ast::Limit>, ways: &[Way]) -> Limit {
        let limit = &said.node;
        if limit.per_source && *ways == [Way::Out] {
            self.reports.push(
                Report::warning(
                    "per-source-out",
                    said.span,
                    "the source of what goes out is this host itself",
                )
                .label("this counts all together")
                .way_out("leave `per source` out"),
            );
        }
        Limit {
            rate: limit.rate.node,
            seconds: limit.seconds,
            // Said by nobody, the bucket holds what the rate names: nft's own 5 would surprise.
            burst: limit.burst.as_ref().map_or(limit.rate.node, |burst| burst.node),
            per_source: limit.per_source,
        }
    }

    fn passive(
        &mut self,
        said: &RuleSentence,
        range: &Spanned<PortRange>,
        traffic: &[Traffic],
    ) -> Option<Passive> {
        if said.verdict.node != Verdict::Allow {
            let word = said.verdict.node.word();
            self.reports.push(
                Report::error(
                    "passive-not-allow",
                    range.span,
                    format!("`passive` belongs to `allow`, not to `{word}`"),
                )
                .label("take it out")
                .way_out(format!("the range itself can be named: `{word} {}/tcp`", range.node)),
            );
            return None;
        }
        if !traffic.iter().any(|thing| is_ftp(*thing)) {
            self.reports.push(
                Report::error("passive-without-ftp", range.span, "nothing here has passive data connections")
                    .label("`passive` belongs to `ftp`")
                    .way_out(format!("to open the range by itself: `allow {}/tcp`", range.node))
                    .way_out(
                        "FTP is what the catalogue calls `ftp` and `ftps`, or a name for 21/tcp or 990/tcp",
                    ),
            );
            return None;
        }
        if let Some(helper) = said.helper
            && traffic.iter().any(|thing| is_encrypted(*thing))
        {
            self.reports.push(
                Report::error(
                    "helper-encrypted",
                    helper,
                    "the helper cannot read a control connection that is encrypted",
                )
                .label("it sees 21/tcp only")
                .way_out(format!(
                    "leave `helper` out: `passive {}` opens the range to the same sources",
                    range.node
                )),
            );
            return None;
        }
        Some(Passive { range: range.node, helper: said.helper.is_some() })
    }

    /// The defaults that a policy says, over those that are built in.
    pub(super) fn defaults(&mut self) -> Defaults {
        let mut said: HashMap<Way, (Verdict, Span, Origin)> = HashMap::new();
        let loaded = self.loaded;
        for sentence in &loaded.sentences {
            let ast::SentenceKind::Default(pairs) = &sentence.kind else { continue };
            for (verdict, way) in pairs {
                if let Some((_, first, _)) = said.get(&way.node) {
                    let word = way.node.word();
                    self.reports.push(
                        Report::error("default-twice", way.span, format!("`{word}` has a default already"))
                            .label("one default for each way")
                            .other(*first, "the first is here")
                            .way_out("take one of them out"),
                    );
                    continue;
                }
                if (verdict.node, way.node) == (Verdict::Allow, Way::Published) {
                    self.reports.push(
                        Report::warning(
                            "default-opens-containers",
                            verdict.span.to(way.span),
                            "every port that a container publishes is open to everybody",
                        )
                        .label("also those of containers to come")
                        .way_out("to open single ones: `allow published 8080/tcp`"),
                    );
                }
                said.insert(way.node, (verdict.node, way.span, self.origin(sentence)));
            }
        }
        let of = |way: Way| match said.get(&way) {
            Some((verdict, _, origin)) => DefaultRule { verdict: *verdict, origin: Some(origin.clone()) },
            None => DefaultRule { verdict: built_in(way), origin: None },
        };
        Defaults {
            r#in: of(Way::In),
            out: of(Way::Out),
            published: of(Way::Published),
            forward: of(Way::Forward),
        }
    }
}

/// What happens to the rest where a policy says nothing.
pub(super) const fn built_in(way: Way) -> Verdict {
    match way {
        Way::Out => Verdict::Allow,
        Way::In | Way::Published | Way::Forward => Verdict::Block,
    }
}

/// Whether this is the control port of FTP, alone or with its data port, and not a wide range around it.
pub(super) fn is_ftp(thing: Traffic) -> bool {
    is_control(thing, FTP) || is_encrypted(thing)
}

/// The same where TLS begins with the first byte: no helper reads what is announced there.
pub(super) fn is_encrypted(thing: Traffic) -> bool {
    is_control(thing, FTPS)
}

fn is_control(thing: Traffic, port: u16) -> bool {
    matches!(thing, Traffic::Ports(Proto::TCP, range) if range.contains(port) && range.first() + 1 >= port && range.last() == port)
}
