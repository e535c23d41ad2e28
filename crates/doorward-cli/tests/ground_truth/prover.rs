//! The prover's opinion: one packet, led as a set of packets through the diagrams of a ruleset.

use crate::opinion::{Kernel, Opinion};
use doorward::net::Family;
use doorward::prove::{Facts, Fates, NotJudged, Odd, Program, Slice, tells, value_of};
use doorward::ruleset::{Expr, Hook, Ruleset};
use doorward::space::{Field, Space, Terms};
use doorward::trace::{Conntrack, Packet};
use doorward::xt::{self, Match, Target, Xt};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// `IPS_DST_NAT`.
const TRANSLATED: u32 = 0x20;
/// Random rulesets have little in common with what is in use: their diagrams may grow without end.
const NODES: usize = 100_000;
/// Of large rulesets the diagrams may be larger.
const NODES_LARGE: usize = 2_000_000;
const LARGE: usize = 400;

/// Proofs of one ruleset, each made when the first packet asks for it.
struct Prover<'a> {
    ruleset: &'a Ruleset,
    kernel: &'a Kernel,
    proofs: RefCell<BTreeMap<(Family, Hook, bool), Option<Proof>>>,
}

/// The program of one family at one hook, and the space of its packets.
struct Proof {
    program: Program,
    slice: Slice,
    space: Space,
    /// What becomes of all packets, where no rule changes any: each is looked up in it.
    all: Option<Fates>,
    /// How many packets it has judged.
    judged: usize,
}

pub(crate) fn prover<'a>(ruleset: &'a Ruleset, kernel: &'a Kernel) -> Box<dyn Opinion + 'a> {
    Box::new(Prover { ruleset, kernel, proofs: RefCell::default() })
}

impl Opinion for Prover<'_> {
    fn name(&self) -> &'static str {
        "prover"
    }

    fn accepts(&self, packet: &Packet) -> Option<bool> {
        self.with(packet, &mut |proof| proof.judge(packet))?
    }

    /// What is not told of the packet, and yet decides.
    fn lacks(&self, packet: &Packet) -> Vec<String> {
        let found = self.with(packet, &mut |proof| proof.lacks(packet));
        found.unwrap_or_else(|| vec!["the diagram is too large".to_owned()])
    }
}

impl Prover<'_> {
    /// Asks the proof about this packet; none where there is none.
    fn with<T>(&self, packet: &Packet, ask: &mut dyn FnMut(&mut Proof) -> Result<T, NotJudged>) -> Option<T> {
        let translated = matches!(&packet.ct, Conntrack::Entry(entry) if entry.status & TRANSLATED != 0);
        let slice = Slice { hook: packet.hook, translated, nat: false };
        let mut proofs = self.proofs.borrow_mut();
        let key = (packet.family, packet.hook, translated);
        loop {
            let proof = proofs.entry(key).or_insert_with(|| self.proof(packet.family, slice)).as_mut()?;
            let first = proof.judged == 0;
            proof.judged += 1;
            match ask(proof) {
                Ok(answer) => return Some(answer),
                // Each packet leaves nodes behind: a space that is full is begun anew, unless one packet fills it.
                Err(_) if first => proofs.insert(key, None).flatten(),
                Err(_) => proofs.remove(&key).flatten(),
            };
        }
    }

    /// None where the prover claims nothing.
    fn proof(&self, family: Family, slice: Slice) -> Option<Proof> {
        let mut terms = Terms::new(family);
        let interfaces = self.kernel.devices.iter().map(|device| (device.index, device.name.clone()));
        let odd = Odd { cut_off: true, misread: self.kernel.reads_fragments };
        let facts = Facts { interfaces: interfaces.collect(), odd, ..Facts::default() };
        let program = Program::of(&self.ruleset.tables, &[slice], &facts, &mut terms);
        let chains = self.ruleset.tables.iter().flat_map(|table| &table.chains);
        let large = chains.map(|chain| chain.rules.len()).sum::<usize>() > LARGE;
        let mut space = Space::within(terms, if large { NODES_LARGE } else { NODES }).ok()?;
        let domain = space.domain();
        let all = if changes(self.ruleset) {
            None
        } else {
            Some(program.fates(&mut space, slice, domain, &|_| true).ok()?.0)
        };
        Some(Proof { program, slice, space, all, judged: 0 })
    }
}

impl Proof {
    /// Leads the packet through the program, and with it all those that differ in what is not told.
    fn fates(&mut self, packet: &Packet) -> Result<Fates, NotJudged> {
        let space = &mut self.space;
        let start = space.only(&|field| tells(packet, field).then(|| value_of(packet, field)));
        let Some(all) = self.all else {
            return Ok(self.program.fates(space, self.slice, start, &|_| true)?.0);
        };
        let [accepted, dropped, rejected, queued] =
            [all.accepted, all.dropped, all.rejected, all.queued].map(|node| space.and(node, start));
        space.holds_good()?;
        Ok(Fates { accepted, dropped, rejected, queued })
    }

    fn judge(&mut self, packet: &Packet) -> Result<Option<bool>, NotJudged> {
        let fates = self.fates(packet)?;
        let refused = self.space.or(fates.dropped, fates.rejected);
        Ok(match (fates.accepted.is_empty(), refused.is_empty(), fates.queued.is_empty()) {
            (false, true, true) => Some(true),
            (true, false, true) => Some(false),
            _ => None,
        })
    }

    fn lacks(&mut self, packet: &Packet) -> Result<Vec<String>, NotJudged> {
        let fates = self.fates(packet)?;
        let fields: Vec<Field> = self.space.fields().filter(|field| !tells(packet, field)).cloned().collect();
        let mut found = Vec::new();
        for field in fields {
            let any = self.space.exists(fates.accepted, &|one| *one == field);
            if any != fates.accepted {
                found.push(short(&field));
            }
        }
        self.space.holds_good()?;
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// Whether rules may change what later ones ask.
fn changes(ruleset: &Ruleset) -> bool {
    let rules = ruleset.tables.iter().flat_map(|table| {
        table.chains.iter().flat_map(|chain| &chain.rules).map(move |rule| (table.family, rule))
    });
    let mut exprs = rules.flat_map(|(family, rule)| rule.exprs.iter().map(move |expr| (family, expr)));
    exprs.any(|(family, expr)| match (expr, xt::read(expr, family)) {
        (Expr::MetaSet { .. } | Expr::CtSet { .. } | Expr::PayloadSet { .. }, _) => true,
        (_, Some(Xt::Match(found))) => matches!(found, Match::Unknown { .. } | Match::Socket(_)),
        (_, Some(Xt::Target(found))) => {
            !matches!(found, Target::Reject(_) | Target::Log(_) | Target::Nflog(_))
        }
        _ => false,
    })
}

/// What is asked, without what it is compared with.
fn short(field: &Field) -> String {
    let words = match field {
        Field::Unknown(words) => words.clone(),
        other => format!("{other:?}"),
    };
    words.split([' ', '{']).take(5).collect::<Vec<_>>().join(" ")
}
