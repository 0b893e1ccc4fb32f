//! `readyloop serve kv`: commands, deadlines, transactions, channels, and what is refused.

mod channels;
mod client;
mod commands;
mod refusals;
