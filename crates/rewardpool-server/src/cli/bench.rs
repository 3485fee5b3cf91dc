//! `bench`: measures an engine, a service or a recovery, and compares two runs.
//!
//! What is measured, and how, stands in the crate `rewardpool-load`. Here is what a user may ask
//! for (`arguments.rs`), what is seen meanwhile (`progress.rs`), and how a result is printed
//! (`table.rs`).
mod arguments;
mod progress;
mod table;

use std::path::Path;
use std::sync::Arc;

use clap::Subcommand;
use rewardpool_engine::Chain;
use rewardpool_load::{
    Comparison, EnginePlan, Error, GrpcPlan, RecoveryPlan, Report, Target, Watch, engine, recovery,
    target,
};
use serde_json::{Value, json};

use self::arguments::{CompareArgs, EngineArgs, GrpcArgs, RecoveryArgs, ResultArgs};
use super::failure::exit;
use super::interrupt::on_interrupt;
use super::output::{self, Format};
use super::{Failure, Global};

const EXAMPLES: &str = "\
Examples:
  rewardpool bench engine                       The engine alone, without a network
  rewardpool bench grpc --count 100             A service of its own, 100 draws a request
  rewardpool bench grpc --rate 20000            Latency at a fixed rate, not as fast as it goes
  rewardpool bench recovery --draws 50000000    How fast a start is after a crash
  rewardpool bench engine --save old.json && rewardpool bench engine --compare old.json

All draws are durable: on disk before they are answered. The log is written below --dir, so choose
the disk that shall be measured. Everything that a run makes is removed at its end, also after
Ctrl-C; what was measured until then is printed, and the exit code is 130.

A run that shared the CPUs with others is marked as not trusted, with the reason.";

/// Lay load on an engine or a service, and measure it
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) enum BenchCommand {
    Engine(EngineArgs),
    Grpc(GrpcArgs),
    Recovery(RecoveryArgs),
    Compare(CompareArgs),
}

pub(crate) fn run(command: &BenchCommand, global: &Global) -> Result<(), Failure> {
    match command {
        BenchCommand::Engine(args) => {
            let plan: EnginePlan = args.plan();
            measure(&args.results, global.output, |watch| {
                engine::bench(args.setup.directory(), &plan, watch)
            })
        }
        BenchCommand::Grpc(args) => {
            let plan: GrpcPlan = args.plan();
            plan.check().map_err(|error| failure(&error))?;
            let target = grpc_target(args, global)?;
            measure(&args.results, global.output, |watch| target::bench(&target, &plan, watch))
        }
        BenchCommand::Recovery(args) => {
            let plan: RecoveryPlan = args.plan();
            measure(&args.results, global.output, |watch| {
                recovery::bench(args.setup.directory(), &plan, watch)
            })
        }
        BenchCommand::Compare(args) => {
            let (old, new) = (read(&args.old)?, read(&args.new)?);
            let compared = Comparison::of(&old, &new).map_err(|error| failure(&error))?;
            output::print(global.output, || table::comparison(&compared), || json!(compared))
        }
    }
}

/// A service of its own, unless the command line names one and says that its draws may be spent.
fn grpc_target(args: &GrpcArgs, global: &Global) -> Result<Target, Failure> {
    if !global.is_addr_given {
        if !args.pool.is_empty() {
            let what = "--pool is for a service that runs already, which --addr names";
            return Err(Failure::usage(what, "leave out --pool, or name the service with --addr"));
        }
        let program = std::env::current_exe().map_err(|error| {
            let what = format!("this program cannot be found: {error}");
            Failure::new(exit::INPUT_OUTPUT, what, "start it by its full path")
        })?;
        return Ok(Target::Temporary(args.setup.service(program)));
    }
    if let Some(name) = args.setup.given() {
        let what = format!("{name} sets up a service, and --addr names one that runs already");
        return Err(Failure::usage(what, format!("leave out {name} or --addr")));
    }
    let url = global.addr.as_str();
    if !args.yes {
        let what = format!(
            "the draws of a bench are real: {url} would award its prizes to nobody, and its log \
             would keep every draw"
        );
        let hint = "without --addr a temporary service is measured; add --yes when the stock of \
                    this one may be spent";
        return Err(Failure::usage(what, hint));
    }
    Ok(Target::Running(url.to_owned()))
}

/// Runs, prints, and judges what came out.
fn measure(
    results: &ResultArgs,
    format: Format,
    bench: impl FnOnce(&Arc<Watch>) -> Result<Report, Error>,
) -> Result<(), Failure> {
    // Before the run, because nobody wants to learn of a typo after it.
    let old = results.compare.as_deref().map(read).transpose()?;
    let watch = Arc::new(Watch::new());
    let heard = Arc::clone(&watch);
    on_interrupt(move || heard.stop())?;
    let report = progress::beside(&watch, || bench(&watch)).map_err(|error| failure(&error))?;
    let compared = old.map(|old| Comparison::of(&old, &report)).transpose();
    // A wrong comparison must not cost the run.
    let shown = compared.as_ref().ok().and_then(Option::as_ref);
    output::print(format, || table::run(&report, shown), || json_of(&report, shown))?;
    if let Some(path) = &results.save {
        report.write(path).map_err(|error| failure(&error))?;
    }
    compared.map_err(|error| failure(&error))?;
    verdict(&report)
}

/// The report, with the comparison as one more field, so that the output of each run can be given
/// to `--compare`.
fn json_of(report: &Report, compared: Option<&Comparison>) -> Value {
    let mut value = json!(report);
    if let (Some(compared), Some(fields)) = (compared, value.as_object_mut()) {
        fields.insert("comparison".to_owned(), json!(compared));
    }
    value
}

/// What the exit code says about a run that was printed.
fn verdict(report: &Report) -> Result<(), Failure> {
    let failed: u64 = report.errors.values().sum();
    if failed > 0 {
        let is_answered = report.errors.keys().all(|reason| !is_no_answer(reason));
        let code = if is_answered { exit::REFUSED } else { exit::UNAVAILABLE };
        let what = format!("{failed} requests failed: {}", table::errors(report));
        let hint = "the figures are of the other requests; see the reasons in the protocol";
        return Err(Failure::new(code, what, hint));
    }
    if report.interrupted {
        let what = "the run was ended early";
        return Err(Failure::new(exit::INTERRUPTED, what, "the figures are of what was measured"));
    }
    Ok(())
}

/// Reasons that do not come from the service.
fn is_no_answer(reason: &str) -> bool {
    matches!(
        reason,
        "NO_ANSWER" | "UNAVAILABLE" | "UNKNOWN" | "INTERNAL" | "CANCELLED" | "DEADLINE_EXCEEDED"
    )
}

fn read(path: &Path) -> Result<Report, Failure> {
    Report::read(path).map_err(|error| failure(&error))
}

fn failure(error: &Error) -> Failure {
    let what = Chain(error).to_string();
    let (code, hint) = match error {
        Error::Plan(_) | Error::Catalog(_) => (exit::USAGE, "see --help for what goes together"),
        Error::Kinds { .. } => (exit::USAGE, "compare runs of the same command"),
        Error::Status { status, .. } => return Failure::status(status),
        Error::Connect { .. } => {
            (exit::UNAVAILABLE, "start it with `rewardpool serve`, or leave out --addr")
        }
        Error::ServiceEnded { .. } | Error::ServiceSilent { .. } => {
            (exit::UNAVAILABLE, "check that --dir is on a disk with room that you may write to")
        }
        Error::NoReport { .. } | Error::ReportVersion { .. } => {
            (exit::CORRUPT, "a report is what --save writes, and what -o json prints")
        }
        Error::Engine(_) | Error::Refused(_) | Error::File { .. } | Error::System { .. } | _ => {
            (exit::INPUT_OUTPUT, "check the disk of --dir, and the limits of this process")
        }
    };
    Failure::new(code, what, hint)
}
