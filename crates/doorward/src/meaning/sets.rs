//! What a policy says of all connections at once, straight from the language's rulings; knows no ruleset.
//!
//! The set-wise twin of [`judge`](super::judge): the same rulings, written as conditions on fields instead of
//! questions about one connection. It shares with the proof of a ruleset nothing but the space.

use crate::net::{AddrSet, Family, PortRange, Prefix, Proto};
use crate::resolve::model::{Accounts, Interface, Peers, Resolved, Rule, Scope, Traffic, Verdict, Way};
use crate::ruleset::{Hook, PayloadBase, exthdr};
use crate::space::{Atom, Field, LOCAL, Pred, Terms, name_value, state};
use std::sync::Arc;

/// What a policy says of packets of one hook.
#[derive(Clone, PartialEq, Debug)]
pub struct Meant {
    /// They pass.
    pub allowed: Pred,
    /// They are refused with an answer. What neither passes nor is refused is dropped.
    pub rejected: Pred,
    /// What the policy speaks of at all: packets as the kernel can give them to a hook.
    pub domain: Pred,
    /// What is built in drops, whatever sentences say.
    pub barred: Pred,
}

/// Where a packet is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Input, forward or output.
    pub hook: Hook,
    /// Whether destination NAT led it there.
    pub translated: bool,
}

impl Place {
    /// All places of a family's packets.
    pub const ALL: [Place; 5] = [
        Place { hook: Hook::Input, translated: false },
        Place { hook: Hook::Input, translated: true },
        Place { hook: Hook::Forward, translated: true },
        Place { hook: Hook::Forward, translated: false },
        Place { hook: Hook::Output, translated: false },
    ];

    /// The way whose default holds there.
    #[must_use]
    pub fn way(self) -> Way {
        match (self.hook, self.translated) {
            (Hook::Output, _) => Way::Out,
            (Hook::Forward, true) => Way::Published,
            (Hook::Forward, false) => Way::Forward,
            _ => Way::In,
        }
    }

    fn arrives(self) -> bool {
        self.hook != Hook::Output
    }
}

/// What is given besides the policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Given {
    /// The bit of the ct mark of a connection that a limit let begin and that still owes for it: such packets are
    /// no first ones, and are left out.
    pub owing: Option<u32>,
    /// Whether TCP connections from before the firewall go on (language: ruling 8).
    pub carried: bool,
}

/// ICMP types, as one byte.
mod icmp {
    pub(super) const ECHO: (u128, u128) = (8, 128);
    pub(super) const ERRORS4: [(u128, u128); 2] = [(3, 3), (11, 12)];
    pub(super) const ERRORS6: [(u128, u128); 1] = [(1, 4)];
    pub(super) const NEIGHBOURS: (u128, u128) = (133, 136);
    pub(super) const LISTENERS: [(u128, u128); 2] = [(130, 132), (143, 143)];
}

/// What is decided so far: an ordered list of cases, of which the first that holds counts.
#[derive(Default)]
struct Cases {
    list: Vec<(Pred, Decision)>,
}

/// What becomes of the packets of a case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Pass,
    /// Something built in drops them.
    Barred,
    Blocked,
    Refused,
}

/// What is said of packets by all cases from one on.
struct Said {
    allowed: Pred,
    rejected: Pred,
    barred: Pred,
}

impl Cases {
    /// Something built in drops it.
    fn bar(&mut self, condition: Pred) {
        self.list.push((condition, Decision::Barred));
    }

    fn case(&mut self, condition: Pred, verdict: Verdict) {
        let decision = match verdict {
            Verdict::Allow => Decision::Pass,
            Verdict::Block => Decision::Blocked,
            Verdict::Reject => Decision::Refused,
        };
        self.list.push((condition, decision));
    }

    /// What they say, with what is said where none of them holds.
    fn said(self, (allowed, rejected): (Pred, Pred)) -> Said {
        let otherwise = Said { allowed, rejected, barred: Pred::Const(false) };
        self.list.into_iter().rev().fold(otherwise, |rest, (condition, decision)| {
            let part = |mine: Decision, rest: Pred| {
                if mine == decision {
                    Pred::any([condition.clone(), rest])
                } else {
                    Pred::all([condition.clone().negated(), rest])
                }
            };
            Said {
                allowed: part(Decision::Pass, rest.allowed),
                rejected: part(Decision::Refused, rest.rejected),
                barred: part(Decision::Barred, rest.barred),
            }
        })
    }
}

/// What the policy says of packets at a place.
pub fn sets(policy: &Resolved, place: Place, given: Given, terms: &mut Terms) -> Meant {
    Writer { policy, place, terms, own_addresses: false }.all(given)
}

/// New, valid connections from sources that no built-in drops, on interfaces but `lo`: what expectations and
/// people speak of. `errors` takes in what quotes another connection, where it is asked for by name.
pub fn openings(policy: &Resolved, own: &AddrSet, place: Place, errors: bool, terms: &mut Terms) -> Pred {
    let mut writer = Writer { policy, place, terms, own_addresses: false };
    let meant = writer.all(Given::default());
    let neighbours = writer.neighbours();
    let untracked = writer.state(state::UNTRACKED);
    let mut first = vec![writer.state(state::NEW), Pred::all([untracked, neighbours])];
    if errors {
        let own_icmp = if writer.family() == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
        let quotes = [writer.state(state::RELATED), writer.proto(own_icmp), writer.icmp_errors()];
        first.push(Pred::all(quotes));
    }
    let mut all = vec![meant.domain, Pred::any(first), meant.barred.negated()];
    all.push(writer.no_source().negated());
    if place.arrives() {
        let ours = Arc::new(own.clone());
        all.push(writer.terms.addresses(&Field::Source, &ours).negated());
    }
    all.extend(writer.loopback().map(Pred::negated));
    // Of bridges only those that the host has now.
    if place.hook == Hook::Forward {
        let bridge = writer.terms.equals(&Field::IIF_KIND, name_value("bridge"));
        all.push(bridge.negated());
    }
    Pred::all(all)
}

/// The connections that a sentence speaks of at a place, whatever the verdict; none where it says nothing there.
pub fn sentence(rule: &Rule, place: Place, terms: &mut Terms) -> Option<Pred> {
    let policy = Resolved::empty();
    let mut writer = Writer { policy: &policy, place, terms, own_addresses: false };
    writer.covers(rule).then(|| {
        let passive = writer.passive_of(rule).into_iter().collect::<Vec<_>>();
        let mut all = writer.matching([rule], &|_| true);
        all = Pred::any([all, Pred::any(passive)]);
        all
    })
}

/// The packets of a place that come from those who are trusted.
pub fn trusted(policy: &Resolved, place: Place, terms: &mut Terms) -> Pred {
    Writer { policy, place, terms, own_addresses: false }.trusted()
}

/// The connections within a scope that are about some traffic, for expectations.
pub fn asked(traffic: &[Traffic], scope: &Scope, place: Place, terms: &mut Terms) -> Pred {
    let policy = Resolved::empty();
    let mut writer = Writer { policy: &policy, place, terms, own_addresses: false };
    let about: Vec<Pred> =
        traffic.iter().map(|one| Pred::all(writer.about(*one).unwrap_or_else(never))).collect();
    let scope = writer.scope(scope);
    Pred::all([Pred::all(scope), Pred::any(about)])
}

fn never() -> Vec<Pred> {
    vec![Pred::Const(false)]
}

struct Writer<'a> {
    policy: &'a Resolved,
    place: Place,
    terms: &'a mut Terms,
    /// Whether `to` means the packet's own destination, also where it was translated.
    own_addresses: bool,
}

impl Writer<'_> {
    fn family(&self) -> Family {
        self.terms.family()
    }

    fn all(&mut self, given: Given) -> Meant {
        let own_icmp = if self.family() == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
        let other_icmp = if self.family() == Family::V4 { Proto::ICMPV6 } else { Proto::ICMP };
        let is_icmp = self.proto(own_icmp);
        let established = self.state(state::ESTABLISHED);
        let related = self.state(state::RELATED);
        let mut cases = Cases::default();

        if let Some(lo) = self.loopback() {
            cases.case(lo, Verdict::Allow);
        }
        let other_icmp = self.proto(other_icmp);
        cases.bar(other_icmp);
        cases.case(Pred::all([established.clone(), is_icmp.clone().negated()]), Verdict::Allow);
        let neighbours = self.neighbours();
        self.essential(&mut cases, neighbours.clone());
        self.carried(&mut cases);
        let invalid = self.state(state::INVALID);
        cases.bar(invalid);
        self.tcp(&mut cases, &related);
        self.helper_data(&mut cases, &related);
        if self.place.arrives() {
            let forged = self.forged();
            cases.bar(forged);
        }
        let errors = self.icmp_errors();
        let echo = self.echo_request();
        let follows = Pred::all([
            is_icmp.clone(),
            Pred::any([
                Pred::all([established.clone(), echo.clone().negated()]),
                Pred::all([related.clone(), errors.clone()]),
            ]),
        ]);
        self.essential(&mut cases, follows);
        if self.place.translated {
            // Redirects and the like quote a connection, whose opener is not their source.
            cases.bar(Pred::all([related, is_icmp, echo.negated()]));
        }
        let dhcp = self.dhcp();
        self.essential(&mut cases, dhcp);
        let Said { allowed, rejected, barred } = cases.said(self.judged());
        let domain = self.domain(given, &neighbours, &errors);
        Meant { allowed, rejected, domain, barred }
    }

    // What packets there can be.

    /// First packets in the state that the kernel gives them, packets that follow, and what makes no sense.
    fn domain(&mut self, given: Given, neighbours: &Pred, errors: &Pred) -> Pred {
        let mut all = vec![self.terms.flag(&Field::LaterFragment).negated()];
        let new = self.state(state::NEW);
        // An error belongs to something, or makes no sense.
        let own_icmp = if self.family() == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
        let is_icmp = self.proto(own_icmp);
        let is_error = Pred::all([is_icmp.clone(), errors.clone()]);
        all.push(Pred::all([new, is_error.clone()]).negated());
        // Who opens something sends in its own direction; replies are none of that, and ICMP quotes either, as does
        // what this host sends of itself about a connection (`nf_ct_attach`).
        let opens = self.terms.equals(&Field::Direction, 0);
        let echo_free = Pred::all([is_icmp.clone(), self.echo_request()]).negated();
        let replies = Pred::all([self.state(state::ESTABLISHED), echo_free.clone()]);
        let of_others = Pred::any([is_icmp, Pred::Const(!self.place.arrives())]);
        let quotes = Pred::all([self.state(state::RELATED), of_others, echo_free]);
        all.push(Pred::any([opens, replies, quotes]));
        let untracked = self.state(state::UNTRACKED);
        if self.place.translated {
            let invalid = self.state(state::INVALID);
            all.push(Pred::any([untracked, invalid]).negated());
        } else {
            all.push(Pred::any([untracked.negated(), neighbours.clone()]));
        }
        // Only what was announced has the helper of another connection.
        let announced = vec![(state::RELATED, state::RELATED), (state::ESTABLISHED, state::ESTABLISHED)];
        let announced = self.terms.within(&Field::State, announced);
        let helped = self.terms.flag(&Field::HasCt(crate::ruleset::CtKey::Helper, None));
        all.push(Pred::any([announced, helped.negated()]));
        if !given.carried {
            all.push(self.terms.flag(&Field::Carried).negated());
        }
        if let Some(mark) = given.owing {
            all.push(self.terms.masked(&Field::CT_MARK, mark.into(), 0));
        }
        Pred::all(all)
    }

    // What is built in.

    fn loopback(&mut self) -> Option<Pred> {
        let field = match self.place.hook {
            Hook::Input => Field::Iif,
            Hook::Output => Field::Oif,
            _ => return None,
        };
        Some(self.terms.equals(&field, name_value("lo")))
    }

    /// Neighbour discovery with hop limit 255 (RFC 4861) and multicast listeners with 1 (RFC 3810): what no router
    /// passed on. It passes through this host on a bridge only.
    fn neighbours(&mut self) -> Pred {
        if self.family() == Family::V4 {
            return Pred::Const(false);
        }
        const HOPS: Field = Field::Byte(PayloadBase::Network, 7);
        let neighbours = self.icmp_types(&[icmp::NEIGHBOURS]);
        let listeners = self.icmp_types(&icmp::LISTENERS);
        let (far, near) = (self.terms.equals(&HOPS, 255), self.terms.equals(&HOPS, 1));
        let mut all = vec![
            self.proto(Proto::ICMPV6),
            Pred::any([Pred::all([neighbours, far]), Pred::all([listeners, near])]),
        ];
        if self.place.hook == Hook::Forward {
            all.push(self.terms.equals(&Field::IIF_KIND, name_value("bridge")));
        }
        Pred::all(all)
    }

    /// Connections from before the first load are taken up in their middle.
    fn carried(&mut self, cases: &mut Cases) {
        if self.place.hook == Hook::Forward {
            return;
        }
        let goes_on = [self.tcp_without_syn(), self.terms.flag(&Field::Carried)];
        cases.case(Pred::all(goes_on), Verdict::Allow);
    }

    fn tcp_without_syn(&mut self) -> Pred {
        const SYN_ACK_RST_FIN: u128 = 0x17;
        const SYN: u128 = 0x02;
        let tcp = self.proto(Proto::TCP);
        let opens = self.terms.masked(&Field::TcpFlags, SYN_ACK_RST_FIN, SYN);
        Pred::all([tcp, opens.negated()])
    }

    /// TCP begins with a SYN alone. What this host refuses it resets, and that is no SYN.
    fn tcp(&mut self, cases: &mut Cases, related: &Pred) {
        const RST: u128 = 0x04;
        let does_not = self.tcp_without_syn();
        if self.place.hook == Hook::Output {
            let reset = self.terms.masked(&Field::TcpFlags, RST, RST);
            cases.case(Pred::all([does_not.clone(), related.clone(), reset]), Verdict::Allow);
        }
        cases.bar(does_not);
    }

    /// Data connections that a helper saw announced, within the range that a sentence declares for it.
    fn helper_data(&mut self, cases: &mut Cases, related: &Pred) {
        let ways: &[Way] = match self.place.hook {
            Hook::Forward => &[Way::Forward, Way::Published],
            Hook::Input => &[Way::In, Way::Published],
            _ => &[Way::Out],
        };
        let ranges: Vec<(u128, u128)> = self
            .policy
            .rules
            .iter()
            .filter(|rule| rule.verdict == Verdict::Allow && rule.ways.iter().any(|way| ways.contains(way)))
            .filter_map(|rule| rule.passive.filter(|passive| passive.helper))
            .map(|passive| port_range(passive.range))
            .collect();
        if ranges.is_empty() {
            return;
        }
        let helper = self.terms.flag(&Field::HasCt(crate::ruleset::CtKey::Helper, None));
        let all = [
            related.clone(),
            self.proto(Proto::TCP),
            helper,
            self.terms.equals(&Field::HELPER, name_value("ftp")),
            self.terms.within(&Field::Port, ranges),
        ];
        cases.case(Pred::all(all), Verdict::Allow);
    }

    /// What nobody outside can be: loopback and mapped addresses, this host's own; and routing header 0.
    fn forged(&mut self) -> Pred {
        let never: Vec<Prefix> = match self.family() {
            Family::V4 => vec![Prefix::around(Family::V4, 0x7f00_0000, 8)],
            Family::V6 => {
                vec![Prefix::around(Family::V6, 1, 128), Prefix::around(Family::V6, 0xffff_0000_0000, 96)]
            }
        };
        let never: Vec<(u128, u128)> = never.into_iter().map(Prefix::bounds).collect();
        let to = self.addressed();
        let mut any = vec![
            self.terms.within(&Field::Source, never.clone()),
            self.terms.within(&to, never),
            self.terms.equals(&Field::SOURCE_TYPE, LOCAL),
        ];
        if self.family() == Family::V6 {
            const ROUTING: u8 = 43;
            any.push(Pred::all([
                self.terms.flag(&Field::HasHeader(exthdr::IPV6, ROUTING)),
                self.terms.equals(&Field::Header(exthdr::IPV6, ROUTING, 2, 1), 0),
            ]));
        }
        Pred::any(any)
    }

    /// Sources that no host takes a packet from: this network, multicast, broadcast.
    fn no_source(&mut self) -> Pred {
        let never = match self.family() {
            Family::V4 => vec![(0, 8), (224 << 24, 4), (u128::from(u32::MAX), 32)],
            Family::V6 => vec![(0, 127), (0xff << 120, 8)],
        };
        let family = self.family();
        let bounds =
            never.into_iter().map(|(addr, len)| Prefix::around(family, addr, len).bounds()).collect();
        self.terms.within(&Field::Source, bounds)
    }

    fn icmp_errors(&mut self) -> Pred {
        match self.family() {
            Family::V4 => self.icmp_types(&icmp::ERRORS4),
            Family::V6 => self.icmp_types(&icmp::ERRORS6),
        }
    }

    fn echo_request(&mut self) -> Pred {
        let kind = if self.family() == Family::V4 { icmp::ECHO.0 } else { icmp::ECHO.1 };
        self.icmp_types(&[(kind, kind)])
    }

    /// Answers of DHCP servers and requests of our own client, between hosts of one link; nobody translates them.
    fn dhcp(&mut self) -> Pred {
        if self.place.translated || self.place.hook == Hook::Forward {
            return Pred::Const(false);
        }
        let (client, server) = match self.family() {
            Family::V4 => (68, 67),
            Family::V6 => (546, 547),
        };
        let (from, to) = if self.place.arrives() { (server, client) } else { (client, server) };
        let mut all = vec![
            self.proto(Proto::UDP),
            self.terms.equals(&Field::SourcePort, from),
            self.terms.equals(&Field::Port, to),
        ];
        if self.family() == Family::V6 {
            let local = Prefix::around(Family::V6, 0xfe80 << 112, 10).bounds();
            all.push(self.terms.within(&Field::Source, vec![local]));
        }
        Pred::all(all)
    }

    /// What a host needs passes, unless a sentence blocks it that names it.
    fn essential(&mut self, cases: &mut Cases, what: Pred) {
        if what == Pred::Const(false) {
            return;
        }
        let lifted = self.trusted();
        // It opens nothing: sentences that name it speak of its own addresses, whatever was translated.
        self.own_addresses = true;
        for verdict in [Verdict::Block, Verdict::Reject] {
            let rules = self.policy.rules.iter().filter(|rule| rule.verdict == verdict);
            let named = self.matching(rules, &names);
            if named != Pred::Const(false) {
                cases.case(Pred::all([what.clone(), named, lifted.clone().negated()]), verdict);
            }
        }
        self.own_addresses = false;
        cases.case(what, Verdict::Allow);
    }

    // What sentences say.

    /// Block over reject over allow over the default: what is allowed, and what is refused.
    fn judged(&mut self) -> (Pred, Pred) {
        let policy = self.policy;
        let of = |verdict| policy.rules.iter().filter(move |rule| rule.verdict == verdict);
        let trusted = self.trusted();
        let blocked = self.matching(of(Verdict::Block), &|_| true);
        let banned = if self.place.arrives() { self.terms.flag(&Field::Banned) } else { Pred::Const(false) };
        let shut = Pred::all([Pred::any([blocked, banned]), trusted.clone().negated()]);
        let rejected = self.matching(of(Verdict::Reject), &|_| true);
        let rejected = Pred::all([rejected, trusted.clone().negated()]);

        let mut allowed =
            vec![self.matching(of(Verdict::Allow).filter(|rule| rule.limit.is_none()), &|_| true)];
        let data: Vec<Pred> = of(Verdict::Allow)
            .filter(|rule| self.covers(rule))
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|rule| self.passive_of(rule))
            .collect();
        allowed.extend(data);
        for rule in of(Verdict::Allow).filter(|rule| rule.limit.is_some()) {
            let matches = self.matching([rule], &|_| true);
            if matches == Pred::Const(false) {
                continue;
            }
            // Trust lifts the limit.
            let room = self.terms.flag(&Field::Room(rule.origin.sentence.to_string()));
            allowed.push(Pred::all([matches, Pred::any([room, trusted.clone()])]));
        }
        let default = self.policy.defaults.of(self.place.way()).verdict;
        if self.place.way() == Way::Forward && default != Verdict::Allow {
            allowed.push(self.stays_on_one_bridge());
        }
        let allowed = match default {
            Verdict::Allow => Pred::Const(true),
            _ => Pred::any(allowed),
        };
        let open = Pred::all([shut.clone().negated(), rejected.clone().negated(), allowed.clone()]);
        let refused = match default {
            Verdict::Reject => Pred::all([shut.negated(), Pred::any([rejected, allowed.negated()])]),
            _ => Pred::all([shut.negated(), rejected]),
        };
        (open, refused)
    }

    /// By a bridge that the host has now, or by one that comes later: the way back is the way in.
    fn stays_on_one_bridge(&mut self) -> Pred {
        let mut any: Vec<Pred> = Vec::new();
        for bridge in &self.policy.bridges {
            let name = name_value(bridge);
            any.push(Pred::all([self.terms.equals(&Field::Iif, name), self.terms.equals(&Field::Oif, name)]));
        }
        any.push(Pred::all([
            self.terms.equals(&Field::IIF_KIND, name_value("bridge")),
            self.terms.equals(&Field::BACK_OUT, 0).negated(),
        ]));
        Pred::any(any)
    }

    /// Trust speaks of connections that come from there, so never of what this host opens.
    fn trusted(&mut self) -> Pred {
        if !self.place.arrives() {
            return Pred::Const(false);
        }
        let policy = self.policy;
        Pred::any(
            policy
                .trust
                .iter()
                .map(|trust| self.terms.addresses(&Field::Source, &trust.who))
                .collect::<Vec<_>>(),
        )
    }

    /// Whether a sentence speaks of this place. What is published may arrive at a local proxy.
    fn covers(&self, rule: &Rule) -> bool {
        let way = self.place.way();
        rule.ways.contains(&way) || way == Way::In && rule.ways.contains(&Way::Published)
    }

    /// What one of these sentences matches, as far as it speaks of traffic that is picked.
    fn matching<'r>(
        &mut self,
        rules: impl IntoIterator<Item = &'r Rule>,
        picked: &dyn Fn(Traffic) -> bool,
    ) -> Pred {
        let mut products: Vec<Vec<Atom>> = Vec::new();
        let mut others: Vec<Pred> = Vec::new();
        for rule in rules {
            if !self.covers(rule) {
                continue;
            }
            let traffic: Vec<Vec<Pred>> = rule
                .traffic
                .iter()
                .filter(|traffic| picked(**traffic))
                .filter_map(|traffic| self.about(*traffic))
                .collect();
            if traffic.is_empty() {
                continue;
            }
            let scope = self.scope(&rule.scope);
            if scope.contains(&Pred::Const(false)) {
                continue;
            }
            let scope_atoms = atoms(&scope);
            for about in traffic {
                match (&scope_atoms, atoms(&about)) {
                    (Some(scope), Some(about)) => products.push([scope.as_slice(), &about].concat()),
                    _ => others.push(Pred::all([Pred::all(scope.clone()), Pred::all(about)])),
                }
            }
        }
        if products.iter().any(Vec::is_empty) {
            return Pred::Const(true);
        }
        if !products.is_empty() {
            others.push(Pred::Boxes(Arc::new(products)));
        }
        Pred::any(others)
    }

    /// The data of a static passive range is open to the same peers, and only the control port is limited.
    fn passive_of(&mut self, rule: &Rule) -> Option<Pred> {
        let passive = rule.passive.filter(|passive| !passive.helper && rule.verdict == Verdict::Allow)?;
        let mut all = self.about(Traffic::Ports(Proto::TCP, passive.range))?;
        all.extend(self.scope(&rule.scope));
        Some(Pred::all(all))
    }

    /// Conditions on each field; none where there is no such traffic in this family.
    fn about(&mut self, traffic: Traffic) -> Option<Vec<Pred>> {
        Some(match traffic {
            Traffic::Any => Vec::new(),
            Traffic::Protocol(proto) => vec![self.proto(proto)],
            Traffic::Ports(proto, range) => {
                let field = if self.place.translated { Field::AddressedPort } else { Field::Port };
                let ports = self.terms.within(&field, vec![port_range(range)]);
                vec![self.proto(proto), ports]
            }
            Traffic::Icmp(kinds) => {
                let kind = u128::from(kinds.in_family(self.family())?);
                let proto = if self.family() == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
                vec![self.proto(proto), self.icmp_types(&[(kind, kind)])]
            }
        })
    }

    fn scope(&mut self, scope: &Scope) -> Vec<Pred> {
        let mut all = Vec::new();
        self.peers(&Field::Source, &scope.from, &mut all);
        let to = self.addressed();
        self.peers(&to, &scope.to, &mut all);
        if !scope.on.is_empty() {
            let field = if self.place.hook == Hook::Output { Field::Oif } else { Field::Iif };
            let names = scope.on.iter().map(interface_range).collect();
            all.push(self.terms.within(&field, names));
        }
        self.accounts(&Field::User, scope.user.as_ref(), &mut all);
        self.accounts(&Field::Group, scope.group.as_ref(), &mut all);
        all.retain(|pred| *pred != Pred::Const(true));
        all
    }

    fn peers(&mut self, field: &Field, peers: &Peers, all: &mut Vec<Pred>) {
        const SHORT: usize = 64;
        let size = |set: &AddrSet| set.v4().as_slice().len() + set.v6().as_slice().len();
        match (&peers.only, &peers.except) {
            (None, None) => {}
            (Some(only), None) => all.push(self.terms.addresses(field, only)),
            (only, Some(except)) if size(except) > SHORT => {
                if let Some(only) = only {
                    all.push(self.terms.addresses(field, only));
                }
                all.push(self.terms.addresses(field, except).negated());
            }
            _ => all.push(self.terms.addresses(field, &Arc::new(peers.set()))),
        }
    }

    /// A packet without a socket is of nobody: not of those who are named, and so of `except` them.
    fn accounts(&mut self, field: &Field, accounts: Option<&Accounts>, all: &mut Vec<Pred>) {
        let Some(accounts) = accounts else { return };
        if self.place.hook != Hook::Output {
            all.push(Pred::Const(accounts.except));
            return;
        }
        let ids = accounts.ids.iter().map(|id| (u128::from(*id), u128::from(*id))).collect();
        let of_them = [self.terms.flag(&Field::HasOwner), self.terms.within(field, ids)];
        if accounts.except {
            all.push(Pred::all(of_them).negated());
        } else {
            all.extend(of_them);
        }
    }

    fn addressed(&self) -> Field {
        if self.place.translated && !self.own_addresses { Field::AddressedTo } else { Field::Destination }
    }

    fn proto(&mut self, proto: Proto) -> Pred {
        self.terms.equals(&Field::Protocol, proto.0.into())
    }

    fn state(&mut self, state: u128) -> Pred {
        self.terms.equals(&Field::State, state)
    }

    /// The first byte of the transport header of ICMP.
    fn icmp_types(&mut self, types: &[(u128, u128)]) -> Pred {
        let ranges = types.iter().map(|(first, last)| (first << 8, last << 8 | 0xff)).collect();
        self.terms.within(&Field::SourcePort, ranges)
    }
}

/// Whether traffic names something, instead of everything or a whole protocol.
fn names(traffic: Traffic) -> bool {
    match traffic {
        Traffic::Any | Traffic::Protocol(_) => false,
        Traffic::Ports(_, range) => range != PortRange::ALL,
        Traffic::Icmp(_) => true,
    }
}

fn port_range(range: PortRange) -> (u128, u128) {
    (range.first().into(), range.last().into())
}

fn interface_range(interface: &Interface) -> (u128, u128) {
    let first = name_value(&interface.name);
    let rest = u32::try_from(interface.name.len()).unwrap_or(16) * 8;
    let last = if interface.wildcard { first | u128::MAX.checked_shr(rest).unwrap_or(0) } else { first };
    (first, last)
}

/// The sets of conditions that are plain sets of one field each.
fn atoms(conditions: &[Pred]) -> Option<Vec<Atom>> {
    conditions.iter().filter(|pred| **pred != Pred::Const(true)).map(Terms::atom).collect()
}
