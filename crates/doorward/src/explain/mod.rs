//! Questions about one imagined packet, and the way that it takes through rules; asks no host and no kernel.
//!
//! The words of a question become a [`Question`]; with the facts of the host it becomes the first packet of a
//! [`crate::meaning::Connection`], and it is said what had to be assumed. The same packet, as the kernel meets
//! it, runs through any ruleset by [`crate::trace`], whatever answers are given to what no packet tells.

mod assume;
mod depends;
mod doubt;
mod led;
mod packet;
mod path;
mod question;
mod read;
#[cfg(test)]
mod tests;
mod whole;
mod wrong;

pub use assume::{Assumed, Facts, Interface, Route, assume};
pub use depends::{Depends, depends};
pub use doubt::{Answers, Doubt, Fate, fates, usual};
pub use led::{Led, arriving, leaving};
pub use packet::{Surroundings, at, packet};
pub use path::{Event, Match, Step, question_text, steps};
pub use question::{About, Account, Asked, Question};
pub use read::read;
pub use whole::{Base, Ending, Passage, ending, marks, translates, whole};
pub use wrong::Wrong;
