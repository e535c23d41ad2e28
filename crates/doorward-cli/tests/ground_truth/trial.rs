//! One ruleset in the kernel, packets sent at it, and for each the kernel's verdict beside all that the kernel knew
//! of the packet; asks nobody's opinion.

use crate::code::{R0, payload};
use crate::dice::Dice;
use crate::draft::{Draft, Fragment, Track};
use crate::fields::{Field, tests};
use crate::lab::{BURST, FIRST_ID, Lab};
use crate::meter::{self, EntryFacts, Facts, Marks, Needs};
use crate::world::World;
use doorward::net::Family;
use doorward::ruleset::{
    Base, Chain, ChainKind, Expr, FibResult, Hook, PayloadBase, Policy, Rule, Ruleset, Step, Table,
    TableFamily, Transaction, Udata, Verdict,
};
use doorward::trace::{Conntrack, Entry, Packet, Tuple};
use doorward::xt::{self, Match, Side, Xt};
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// `NFTA_FIB_F_PRESENT`.
const PRESENT: u32 = 32;
/// `NFT_OBJECT_COUNTER`.
const COUNTER: u32 = 1;

/// A packet that met the hook.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) packet: Packet,
    /// Whether it passed all chains of the hook.
    pub(crate) passed: bool,
    /// Of which draft it was made.
    pub(crate) draft: usize,
}

/// A ruleset in the kernel, until this value goes.
pub(crate) struct Trial<'a> {
    lab: &'a Lab,
    ruleset: &'a Ruleset,
    loaded: Vec<(TableFamily, String)>,
    /// How long sending took.
    pub(crate) spent: Duration,
    pub(crate) sent: usize,
}

impl<'a> Trial<'a> {
    /// Loads a ruleset; the kernel's words if it does not take it.
    pub(crate) fn load(lab: &'a Lab, ruleset: &'a Ruleset) -> Result<Trial<'a>, String> {
        let mut trial = Trial::of_loaded(lab, ruleset);
        for table in &ruleset.tables {
            let created = lab.socket.commit(&Transaction::create(table), None);
            created.map_err(|error| format!("{error:?}"))?;
            trial.loaded.push((table.family, table.name.clone()));
        }
        Ok(trial)
    }

    /// One that others have loaded, and that stays.
    pub(crate) fn of_loaded(lab: &'a Lab, ruleset: &'a Ruleset) -> Trial<'a> {
        lab.enter();
        Trial { lab, ruleset, loaded: Vec::new(), spent: Duration::ZERO, sent: 0 }
    }

    /// Sends packets of one hook and hears what became of them.
    pub(crate) fn judge(&mut self, hook: Hook, drafts: &[Draft]) -> Vec<Judged> {
        let mut judged = Vec::new();
        for (at, burst) in drafts.chunks(BURST).enumerate() {
            let needs = needs(self.ruleset, hook);
            judged.extend(self.burst(&needs, burst, at * BURST));
        }
        judged
    }

    fn burst(&mut self, needs: &Needs, drafts: &[Draft], first: usize) -> Vec<Judged> {
        let lab = self.lab;
        let marks = places(drafts.iter().map(|draft| draft.mark));
        let ct_marks = places(drafts.iter().map(|draft| draft.ct_mark));
        let in_order = |places: &HashMap<u32, usize>| {
            let mut list = vec![0; places.len()];
            for (mark, place) in places {
                list[*place] = *mark;
            }
            list
        };
        let (packet_marks, connection_marks) = (in_order(&marks), in_order(&ct_marks));
        let lists = Marks { packet: &packet_marks, connection: &connection_marks };
        meter::install(&lab.socket, needs, &lists, drafts.len());
        if needs.conntrack {
            lab.flows.add(drafts);
        }
        // Too many different marks: the rest goes without.
        let place = |places: &HashMap<u32, usize>, mark| places.get(&mark).copied().unwrap_or(0);
        let labels: Vec<_> = (FIRST_ID..)
            .zip(drafts)
            .map(|(id, draft)| meter::label(id, place(&marks, draft.mark), place(&ct_marks, draft.ct_mark)))
            .collect();
        let begin = Instant::now();
        for (draft, label) in drafts.iter().zip(&labels) {
            lab.send(draft, *label);
        }
        self.spent += begin.elapsed();
        self.sent += drafts.len();
        let facts = settled(lab, needs, drafts.len());
        if needs.conntrack {
            lab.flows.clear();
        }
        meter::remove(&lab.socket);
        let mut judged = Vec::new();
        for (at, (draft, label)) in drafts.iter().zip(&labels).enumerate() {
            let Some(facts) = facts.get(&label.id) else { continue };
            let link = if needs.hook == Hook::Output { Vec::new() } else { lab.link_header(draft, *label) };
            let packet = packet(lab, draft, needs, facts, link);
            judged.push(Judged { packet, passed: facts.passed, draft: first + at });
        }
        judged
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        for (family, name) in &self.loaded {
            let mut transaction = Transaction::on(*family, name);
            transaction.steps.push(Step::AddTable { flags: 0, udata: Udata::default() });
            transaction.steps.push(Step::DeleteTable);
            self.lab.socket.commit(&transaction, None).unwrap();
        }
    }
}

/// What was read when no more comes: the kernel judges a packet while it is sent, but may put that off.
fn settled(lab: &Lab, needs: &Needs, sent: usize) -> HashMap<u16, Facts> {
    let mut facts = meter::read(&lab.socket, needs);
    for _ in 0..20 {
        if facts.len() == sent {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
        let again = meter::read(&lab.socket, needs);
        let same = again == facts;
        facts = again;
        if same {
            break;
        }
    }
    facts
}

/// Each value once, with its place; as many as a byte can name.
fn places(values: impl Iterator<Item = u32>) -> HashMap<u32, usize> {
    let mut places = HashMap::new();
    for value in values {
        let next = places.len();
        if next < 250 {
            places.entry(value).or_insert(next);
        }
    }
    places
}

/// What has to be read for a ruleset at a hook.
fn needs(ruleset: &Ruleset, hook: Hook) -> Needs {
    let mut fib = BTreeSet::new();
    for (table, rule) in ruleset
        .tables
        .iter()
        .flat_map(|table| table.chains.iter().flat_map(|chain| &chain.rules).map(move |rule| (table, rule)))
    {
        for part in tests(table, rule).iter().flat_map(|test| &test.parts) {
            if let Field::Fib(result, flags) = part.field
                && askable(hook, result, flags)
            {
                fib.insert((result, flags));
            }
        }
    }
    fib.extend(address_types(ruleset).filter(|(result, flags)| askable(hook, *result, *flags)));
    let fib = fib.into_iter().take(meter::QUESTIONS).collect();
    Needs { hook, conntrack: tracks(ruleset), fib, headers: changes(ruleset) }
}

/// The same questions, as matches of iptables ask them.
fn address_types(ruleset: &Ruleset) -> impl Iterator<Item = (FibResult, u32)> {
    const SOURCE: u32 = 1;
    const DESTINATION: u32 = 2;
    let rules = ruleset.tables.iter().flat_map(|table| {
        table.chains.iter().flat_map(|chain| &chain.rules).map(move |rule| (table.family, rule))
    });
    let exprs = rules.flat_map(|(family, rule)| rule.exprs.iter().map(move |expr| (family, expr)));
    let asked = exprs.filter_map(|(family, expr)| match xt::read(expr, family) {
        Some(Xt::Match(Match::Addrtype(of))) => Some(of),
        _ => None,
    });
    asked.flat_map(|of| {
        let by = match of.on {
            None => 0,
            Some(Side::In) => 8,
            Some(Side::Out) => 16,
        };
        let ends = [(of.source.is_some(), SOURCE), (of.dest.is_some(), DESTINATION)];
        ends.into_iter()
            .filter(|(is_asked, _)| *is_asked)
            .map(move |(_, end)| (FibResult::AddrType, end | by))
    })
}

/// Whether it has connections tracked.
fn tracks(ruleset: &Ruleset) -> bool {
    let mut chains = ruleset.tables.iter().flat_map(|table| &table.chains);
    chains.any(|chain| {
        let other = chain.base.as_ref().is_some_and(|base| base.kind != ChainKind::Filter);
        let mut exprs = chain.rules.iter().flat_map(|rule| &rule.exprs);
        let tracks = |expr: &Expr| match expr {
            Expr::Ct { .. } | Expr::CtSet { .. } | Expr::Connlimit { .. } | Expr::Unknown { .. } => true,
            Expr::Objref { kind, .. } => *kind != COUNTER,
            _ => false,
        };
        other || exprs.any(tracks)
    })
}

/// Whether packets may be changed before the hook: where connections are tracked they are translated as well.
fn changes(ruleset: &Ruleset) -> bool {
    let mut exprs = ruleset
        .tables
        .iter()
        .flat_map(|table| &table.chains)
        .flat_map(|chain| &chain.rules)
        .flat_map(|rule| &rule.exprs);
    tracks(ruleset) || exprs.any(|expr| matches!(expr, Expr::PayloadSet { .. }))
}

/// Whether the kernel takes such a question at this hook, and answers it with a number.
fn askable(hook: Hook, result: FibResult, flags: u32) -> bool {
    const IIF: u32 = 8;
    const OIF: u32 = 16;
    let number = match result {
        FibResult::AddrType | FibResult::Oif => true,
        FibResult::Oifname => flags & PRESENT != 0,
        FibResult::Other(_) => false,
    };
    let here = match (hook, flags & (IIF | OIF)) {
        (Hook::Output, flag) => flag & IIF == 0,
        (Hook::Input, flag) => flag & OIF == 0,
        _ => true,
    };
    // What leads where is answered before the packet leaves only.
    let leads = result == FibResult::AddrType || hook != Hook::Output;
    number && here && leads
}

/// The packet that the draft became, with what the kernel knew of it.
fn packet(lab: &Lab, draft: &Draft, needs: &Needs, facts: &Facts, link: Vec<u8>) -> Packet {
    let mut network = draft.network.clone();
    if let Some(read) = &facts.network {
        network[..read.len()].copy_from_slice(read);
    }
    let mut transport = draft.transport.clone();
    for (offset, read) in &facts.transport {
        // Of a later fragment no kernel should have read any.
        if let Some(bytes) = transport.get_mut(*offset..offset + 4)
            && !matches!(draft.fragment, Fragment::Later(_))
        {
            bytes.copy_from_slice(read);
        }
    }
    let output = needs.hook == Hook::Output;
    let by_index = |index| lab.kernel.devices.iter().find(|device| device.index == index).cloned();
    Packet {
        hook: needs.hook,
        family: draft.family,
        iif: (!output).then(|| lab.kernel.devices[draft.iif].clone()),
        oif: by_index(facts.oif),
        link,
        network,
        transport,
        l4proto: draft.l4proto,
        later_fragment: matches!(draft.fragment, Fragment::Later(_)),
        extensions: draft.extensions.clone(),
        mark: facts.mark,
        owner: output.then_some(draft.owner),
        ct: conntrack(draft, facts),
        fib: needs
            .fib
            .iter()
            .zip(&facts.fib)
            .map(|((result, flags), number)| (*result, *flags, *number))
            .collect(),
    }
}

fn conntrack(draft: &Draft, facts: &Facts) -> Conntrack {
    match (&facts.entry, facts.state) {
        (_, 64) => Conntrack::Untracked,
        (Some(entry), state) => known(entry, state),
        // Nobody asked: nothing of it is read.
        (None, 0) if draft.track == Track::Untracked => Conntrack::Untracked,
        (None, _) => Conntrack::Invalid,
    }
}

fn known(entry: &EntryFacts, state: u32) -> Conntrack {
    let tuple = |facts: &meter::TupleFacts| Tuple {
        source: facts.source,
        destination: facts.destination,
        source_port: facts.ports.0,
        destination_port: facts.ports.1,
    };
    Conntrack::Entry(Entry {
        state,
        status: entry.status,
        direction: entry.direction,
        mark: entry.mark,
        helper: None,
        original: tuple(&entry.original),
        reply: tuple(entry.reply.as_ref().expect("read with the other direction")),
    })
}

/// Finds out whether this kernel reads transport headers out of later fragments.
pub(crate) fn reads_fragments(lab: &Lab, dice: &mut Dice, world: &World) -> bool {
    let mut chain = Chain::regular("forward");
    let (kind, hook, policy) = (ChainKind::Filter, Hook::Forward, Policy::Accept);
    chain.base = Some(Base { kind, hook, priority: 0, policy, devices: Vec::new() });
    let load = payload(PayloadBase::Transport, 0, 2, R0);
    chain.rules.push(Rule::new(vec![load, Expr::Verdict(Verdict::Drop)]));
    let mut table = Table::new(TableFamily::Inet, "fragments");
    table.chains.push(chain);
    let ruleset = Ruleset { tables: vec![table] };
    let mut draft = Draft::any(dice, world, hook, Family::V4);
    draft.fragment = Fragment::Later(4);
    draft.repair();
    let judged = Trial::load(lab, &ruleset).unwrap().judge(hook, &[draft]);
    assert_eq!(judged.len(), 1, "a fragment arrives");
    !judged[0].passed
}

/// What of a ruleset has not yet judged when the meter reads the facts, at this hook.
pub(crate) fn judging(ruleset: &Ruleset, hook: Hook) -> Ruleset {
    let first = meter::first_priority(hook, changes(ruleset));
    let before = |table: &Table| {
        let mut table = table.clone();
        table.chains.retain(|chain| chain.base.as_ref().is_none_or(|base| base.priority > first));
        table
    };
    Ruleset { tables: ruleset.tables.iter().filter(|table| table.flags & 1 == 0).map(before).collect() }
}

/// A packet in one line.
pub(crate) fn describe(packet: &Packet) -> String {
    let addr = |at: usize| -> IpAddr {
        match packet.family {
            Family::V4 => {
                IpAddr::from(<[u8; 4]>::try_from(&packet.network[12 + at * 4..16 + at * 4]).unwrap())
            }
            Family::V6 => {
                IpAddr::from(<[u8; 16]>::try_from(&packet.network[8 + at * 16..24 + at * 16]).unwrap())
            }
        }
    };
    let name = |device: &Option<doorward::trace::Device>| {
        device.as_ref().map_or_else(|| "-".to_owned(), |device| device.name.clone())
    };
    format!(
        "{:?} {} > {} proto {} in {} out {}\n{packet:?}",
        packet.hook,
        addr(0),
        addr(1),
        packet.l4proto,
        name(&packet.iif),
        name(&packet.oif)
    )
}
