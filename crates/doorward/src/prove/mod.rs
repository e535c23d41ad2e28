//! Proofs over rulesets: what a program in the kernel does with every packet there can be.

mod about;
mod changes;
mod check;
mod describe;
mod drift;
mod equal;
mod foreign;
mod lens;
mod load;
mod lookup;
mod lower;
mod names;
mod otherwise;
mod parts;
mod point;
mod program;
mod run;
mod symbol;
mod told;

pub use about::{About, What};
pub use changes::{Change, Changes, Kind, Side, changes};
pub use check::{Answer, Claim, Outcome, Proof, check, compiled};
pub use describe::{By, Traffic};
pub use drift::{Besides, Drift, drift};
pub use equal::Difference;
pub use foreign::{Does, Foreign, foreign};
pub use lens::{Lens, Meant};
pub use load::Slice;
pub use names::{Called, Names};
pub use point::value_of;
pub use otherwise::{Otherwise, otherwise};
pub use program::{BaseChain, ChainName, Facts, Program};
pub use run::{Effects, Fates, NotJudged};
pub use told::{Telling, Told, told};
