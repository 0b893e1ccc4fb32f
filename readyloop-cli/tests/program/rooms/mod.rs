//! `readyloop serve rooms`: who hears what, names, manners, and the way in for browsers.

mod manners;
mod talk;
mod talker;
mod web;
