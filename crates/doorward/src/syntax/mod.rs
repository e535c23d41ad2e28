//! From text to sentences and back, losing nothing; knows no service, no host and no file.

pub mod ast;
mod clauses;
pub mod complete;
pub mod edit;
mod foreign;
mod format;
mod grammar;
mod lex;
mod meant;
mod reader;
mod tree;
mod value;
mod verbs;
mod words;
pub mod write;

pub use foreign::host_name_report;
pub use format::format;
pub use grammar::{GRAMMAR, has_shape};
pub use tree::{Tree, parse, parse_sentence};
