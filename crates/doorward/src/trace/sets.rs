//! Expressions that look into sets and change them; finds elements by the index, asks for those it cannot know.

use super::index::INTERVAL_END;
use super::machine::Program;
use super::walk::{Run, Step};
use super::{Hit, Stop};
use crate::ruleset::{Data, Dynset, DynsetOp, Element, Elements, Expr, LookupTarget, Reg, Set};

/// What is known of one key of a set that packets change, for as long as this packet is on its way.
pub(super) struct Member {
    table: usize,
    set: usize,
    key: Vec<u8>,
    held: bool,
    /// The value that it was added with, where it can be known.
    value: Option<Vec<u8>>,
}

/// What a set says of a key.
enum Answer {
    Not,
    /// An element of the ruleset.
    Element(usize),
    /// An element that the ruleset does not show.
    Unseen,
}

impl<'r, 'a> Run<'r, 'a> {
    /// `nft_lookup_eval`.
    pub(super) fn lookup(
        &mut self,
        program: &'r Program<'a>,
        expr: &Expr,
        name: &str,
        sreg: Reg,
        dreg: Option<LookupTarget>,
        invert: bool,
    ) -> Result<Step<'a>, Stop> {
        let (number, set) = find(program, name)?;
        let answer = self.answer(program, expr, number, sreg, dreg.is_some())?;
        let element = match answer {
            Answer::Not if invert => return Ok(Step::On),
            Answer::Not => return Ok(Step::Break),
            Answer::Element(element) => Some(element),
            Answer::Unseen => None,
        };
        self.hits.push(Hit { expr: self.place.expr, set: number, element });
        if invert {
            return Ok(Step::Break);
        }
        let found = element.and_then(|element| element_of(set, element));
        let data = found.and_then(|element| element.data.as_ref());
        let step = match dreg {
            None => Step::On,
            Some(LookupTarget::Verdict) => match data {
                Some(Data::Verdict(verdict)) => Step::Verdict(verdict),
                _ => return Err(Stop::Operation),
            },
            Some(LookupTarget::Value(dreg)) => {
                self.take(number, set, (sreg, dreg), data)?;
                Step::On
            }
        };
        // The state of the element runs after its value was taken; a limit undoes even a verdict.
        let exprs = match found {
            Some(element) if !element.exprs.is_empty() => &element.exprs,
            _ => program.dynamic[number].exprs,
        };
        Ok(if self.stateful(exprs, element) { step } else { Step::Break })
    }

    /// `nft_dynset_eval`.
    pub(super) fn dynset(
        &mut self,
        program: &'r Program<'a>,
        expr: &Expr,
        dynset: &'a Dynset,
    ) -> Result<Step<'a>, Stop> {
        let (number, set) = find(program, &dynset.set)?;
        let len = length(set)?;
        let key = self.registers.read(dynset.key, len)?.to_vec();
        let known = self.registers.known(dynset.key, len);
        let element = program.indexes[number].find(&key).filter(|_| known);
        match dynset.op {
            DynsetOp::Add | DynsetOp::Update => {}
            DynsetOp::Delete => {
                if known {
                    self.remember(number, key, false, None);
                }
                return Ok(Step::On);
            }
            DynsetOp::Other(_) => return Err(Stop::Operation),
        }
        let there = element.is_some() || self.member(number, &key).is_some_and(|member| member.held);
        // Whether a set that was full still is can only be asked; any other has room.
        let full = set.elements.count(set.key_len) >= set.room() as usize;
        if full && !there && !self.ask(expr, None) {
            return Ok(if dynset.invert { Step::On } else { Step::Break });
        }
        if known && !there {
            let value = match (dynset.data, set.data) {
                (Some(reg), Some(crate::ruleset::DataType::Value { len, .. })) => {
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    let value = self.registers.read(reg, len)?.to_vec();
                    self.registers.known(reg, len).then_some(value)
                }
                _ => None,
            };
            self.remember(number, key, true, value);
        }
        let exprs = match element.and_then(|element| element_of(set, element)) {
            Some(element) if !element.exprs.is_empty() => &element.exprs,
            _ if dynset.exprs.is_empty() => program.dynamic[number].exprs,
            _ => &dynset.exprs,
        };
        let holds = self.stateful(exprs, element);
        Ok(if holds && !dynset.invert { Step::On } else { Step::Break })
    }

    /// `nft_objref_map_eval`.
    pub(super) fn objref_map(
        &mut self,
        program: &'r Program<'a>,
        expr: &Expr,
        name: &str,
        sreg: Reg,
    ) -> Result<Step<'a>, Stop> {
        let (number, set) = find(program, name)?;
        let element = match self.answer(program, expr, number, sreg, true)? {
            Answer::Not => return Ok(Step::Break),
            Answer::Element(element) => Some(element),
            Answer::Unseen => None,
        };
        self.hits.push(Hit { expr: self.place.expr, set: number, element });
        Ok(self.object(expr, set.object_kind.unwrap_or(0)))
    }

    /// Whether a set has the key in a register; `maps` if it matters which element that is.
    fn answer(
        &mut self,
        program: &'r Program<'a>,
        expr: &Expr,
        number: usize,
        sreg: Reg,
        maps: bool,
    ) -> Result<Answer, Stop> {
        let set = &program.table.sets[number];
        let index = &program.indexes[number];
        let len = length(set)?;
        let key = self.registers.read(sreg, len)?;
        if !self.registers.known(sreg, len) {
            if !maps {
                return Ok(if self.ask(expr, None) { Answer::Unseen } else { Answer::Not });
            }
            // Which element a value finds that nobody knows is asked of one after the other.
            let any = (0..set.elements.count(set.key_len)).find(|element| {
                let ends = element_of(set, *element).is_some_and(|element| element.flags & INTERVAL_END != 0);
                !ends && self.ask(expr, Some(*element))
            });
            return Ok(any.map_or(Answer::Not, Answer::Element));
        }
        let catchall = index.catchall().map_or(Answer::Not, Answer::Element);
        if let Some(member) = self.member(number, key) {
            if !member.held {
                return Ok(catchall);
            }
            return Ok(index.find(key).map_or(Answer::Unseen, Answer::Element));
        }
        if let Some(element) = index.find(key) {
            return Ok(Answer::Element(element));
        }
        if !program.dynamic[number].fleeting {
            return Ok(catchall);
        }
        let key = key.to_vec();
        let held = self.ask(expr, None);
        self.remember(number, key, held, None);
        Ok(if held { Answer::Unseen } else { catchall })
    }

    /// Stores the value of a map.
    fn take(
        &mut self,
        number: usize,
        set: &Set,
        (sreg, dreg): (Reg, Reg),
        data: Option<&Data>,
    ) -> Result<(), Stop> {
        let len = match set.data {
            Some(crate::ruleset::DataType::Value { len, .. }) => usize::try_from(len).unwrap_or(usize::MAX),
            _ => return Err(Stop::Operation),
        };
        match data {
            Some(Data::Value(bytes)) => self.registers.store(dreg, bytes.get(..len).unwrap_or(bytes)),
            Some(Data::Verdict(_)) => Err(Stop::Operation),
            None => {
                let key = self.registers.read(sreg, length(set)?)?;
                match self.member(number, key).and_then(|member| member.value.clone()) {
                    Some(value) => self.registers.store(dreg, &value),
                    None => self.registers.forget(dreg, len),
                }
            }
        }
    }

    fn member(&self, set: usize, key: &[u8]) -> Option<&Member> {
        let table = self.place.table;
        self.members.iter().find(|member| member.table == table && member.set == set && member.key == key)
    }

    fn remember(&mut self, set: usize, key: Vec<u8>, held: bool, value: Option<Vec<u8>>) {
        let table = self.place.table;
        self.members.retain(|member| member.table != table || member.set != set || member.key != key);
        self.members.push(Member { table, set, key, held, value });
    }
}

fn find<'a>(program: &Program<'a>, name: &str) -> Result<(usize, &'a Set), Stop> {
    let number = *program.sets.get(name).ok_or(Stop::NoSet)?;
    Ok((number, program.table.sets.get(number).ok_or(Stop::NoSet)?))
}

/// An element with a structure of its own.
fn element_of(set: &Set, element: usize) -> Option<&Element> {
    match &set.elements {
        Elements::Full(list) => list.get(element),
        Elements::Plain(_) => None,
    }
}

fn length(set: &Set) -> Result<usize, Stop> {
    usize::try_from(set.key_len).map_err(|_| Stop::Register)
}
