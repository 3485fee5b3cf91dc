//! Counts the instructions of the hot functions and compares them with what they were: times on a
//! shared machine swing, the number of instructions of the same input does not.
//!
//! The counts of `instructions.txt` were taken by callgrind, which emulates a processor of its own.
//! On every x86-64 machine with AVX2 that is the same one (AVX2, no AVX-512, no SHA instructions),
//! so the code that is chosen by what the processor can do is the same, too, and the counts do not
//! depend on the machine. They do depend on the compiler, which is why the file names it.
//!
//! It was seen to fail: with the one multiplication of `Pool::take` that mixes the item's place into
//! the fingerprint done twice (`black_box(coefficient(item.number()))` beside the line that needs it),
//! `state_apply.binary_hundred_6` rose from 58 340 to 63 310, and the program ended with 1.
//!
//! Each count is of one run of `benches/hot.rs`: a thousand draws, calls or outcomes; of
//! `selector_set.prefix_sum` and of the commits ten.
#![expect(clippy::print_stdout, reason = "the output of the program")]

mod callgrind;
mod counts;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

use crate::counts::Counts;

/// Compares the instructions of the hot functions with the recorded ones.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Records what is counted now.
    #[arg(long)]
    update: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { update } = Arguments::parse();
    if let Some(lack) = callgrind::lack() {
        // What everybody may lack, the build server must have.
        let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
        anyhow::ensure!(!is_ci, "CI must be able to count instructions: {lack}");
        println!("skipped, no instructions were counted: {lack}");
        return Ok(ExitCode::SUCCESS);
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let now = Counts { tools: callgrind::tools()?, counts: callgrind::count()? };
    if update {
        std::fs::write(&file, now.to_string()).with_context(|| format!("{}", file.display()))?;
        println!("recorded {} counts in {}", now.counts.len(), file.display());
        return Ok(ExitCode::SUCCESS);
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
    let comparison = Counts::parse(&text)?.compare(&now);
    print!("{comparison}");
    Ok(if comparison.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
