//! The prover's opinion: one packet, led as a set of packets through the diagrams of a ruleset.

use crate::opinion::{Kernel, Opinion};
use doorward::net::Family;
use doorward::prove::{Facts, NotJudged, Program, Slice, value_of};
use doorward::ruleset::{CtKey, Expr, Hook, MetaKey, PayloadBase, Ruleset, exthdr};
use doorward::space::{Field, Space, Terms};
use doorward::trace::{Conntrack, Packet};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// `IPS_DST_NAT`.
const TRANSLATED: u32 = 0x20;

const TCP: u8 = 6;
/// Random rulesets have little in common with what is in use: their diagrams may grow without end.
const NODES: usize = 100_000;

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
        // It knows kernels only that look for fragments before they load, and whole headers.
        let header = if packet.l4proto == TCP { 20 } else { 8 };
        if packet.later_fragment && self.kernel.reads_fragments || packet.transport.len() < header {
            return None;
        }
        let translated = matches!(&packet.ct, Conntrack::Entry(entry) if entry.status & TRANSLATED != 0);
        let slice = Slice { hook: packet.hook, translated };
        let mut proofs = self.proofs.borrow_mut();
        let key = (packet.family, packet.hook, translated);
        loop {
            let proof = proofs.entry(key).or_insert_with(|| self.proof(packet.family, slice)).as_mut()?;
            let first = proof.judged == 0;
            proof.judged += 1;
            match proof.judge(packet) {
                Ok(judged) => return judged,
                // Each packet leaves nodes behind: a space that is full is begun anew, unless one packet fills it.
                Err(_) if first => proofs.insert(key, None).flatten(),
                Err(_) => proofs.remove(&key).flatten(),
            };
        }
    }
}

impl Prover<'_> {
    /// None where the prover claims nothing.
    fn proof(&self, family: Family, slice: Slice) -> Option<Proof> {
        // Targets of iptables end rules in ways that it does not know yet.
        let chains = self.ruleset.tables.iter().flat_map(|table| &table.chains);
        let mut exprs = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
        if exprs.any(|expr| matches!(expr, Expr::Unknown { name, .. } if name == "match" || name == "target"))
        {
            return None;
        }
        let mut terms = Terms::new(family);
        let interfaces = self.kernel.devices.iter().map(|device| (device.index, device.name.clone()));
        let facts = Facts { interfaces: interfaces.collect(), ..Facts::default() };
        let program = Program::of(&self.ruleset.tables, &[slice], &facts, &mut terms);
        let space = Space::within(terms, NODES).ok()?;
        Some(Proof { program, slice, space, judged: 0 })
    }
}

impl Proof {
    /// Leads the packet through the program, and with it all those that differ in what is not told.
    fn judge(&mut self, packet: &Packet) -> Result<Option<bool>, NotJudged> {
        let space = &mut self.space;
        let start = space.only(&|field| is_told(field).then(|| value_of(packet, field)));
        let (fates, _) = self.program.fates(space, self.slice, start, &|_| true)?;
        let refused = space.or(fates.dropped, fates.rejected);
        Ok(match (fates.accepted.is_empty(), refused.is_empty(), fates.queued.is_empty()) {
            (false, true, true) => Some(true),
            (true, false, true) => Some(false),
            _ => None,
        })
    }
}

/// Whether a packet tells the value of a field.
fn is_told(field: &Field) -> bool {
    match field {
        Field::Unknown(words) => words == "there are extension headers",
        Field::Banned | Field::Room(_) => false,
        Field::HasHeader(kind, _) | Field::Header(kind, ..) => *kind == exthdr::IPV6,
        Field::Byte(base, _) | Field::Reaches(base, _) => {
            !matches!(base, PayloadBase::Inner | PayloadBase::Other(_))
        }
        Field::HasMeta(key) => matches!(key, MetaKey::Skuid | MetaKey::Skgid),
        Field::Meta(key) => matches!(
            key,
            MetaKey::Mark | MetaKey::Iif | MetaKey::Oif | MetaKey::Iifkind | MetaKey::Oifkind | MetaKey::Len
        ),
        Field::HasCt(key, _) => *key == CtKey::Helper,
        _ => true,
    }
}
