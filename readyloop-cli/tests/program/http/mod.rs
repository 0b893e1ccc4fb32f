//! `readyloop serve http`: requests and answers, files, and what is refused.

mod caller;
/// What must be refused: the table that the framer is tested with.
#[path = "../../../../readyloop-protocols/src/http/cases.rs"]
mod cases;
mod exchange;
mod files;
mod options;
mod refusals;
