//! Goal: whoever works with the program from a command line is told the truth, in a form that they
//! can use. Method: the real program is run, on files and against a real service of its own.
#![expect(clippy::unwrap_used, reason = "a test may end by it, in its own functions too")]

mod config_diff;
mod documentation;
mod errors;
mod looks;
mod program;
mod serve;
mod service;
mod shells;
mod simulate;
mod terminal;
mod transcripts;
