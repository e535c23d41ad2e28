//! Proofs over rulesets: what a program in the kernel does with every packet there can be.

mod equal;
mod lens;
mod load;
mod lookup;
mod lower;
mod point;
mod program;
mod run;
mod symbol;

pub use equal::{Difference, Equality, equal};
pub use lens::{Lens, Meant};
pub use load::Slice;
pub use point::value_of;
pub use program::{BaseChain, ChainName, Facts, Program};
pub use run::{Effects, Fates, NotJudged};
