//! The pure core of doorward: from policy text to a ruleset. Opens no file, no socket and no clock.

pub mod apply;
pub mod audit;
pub mod catalogue;
pub mod compile;
pub mod emit;
pub mod explain;
pub mod logged;
pub mod meaning;
pub mod net;
pub mod prove;
pub mod report;
pub mod resolve;
pub mod ruleset;
pub mod space;
pub mod syntax;
pub mod trace;
pub mod xt;
