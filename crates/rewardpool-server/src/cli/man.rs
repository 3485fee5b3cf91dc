//! `man`: pages of the manual, made from the same definition as `--help`.
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use serde_json::json;

use super::failure::exit;
use super::output::{self, Format};
use super::{Cli, Failure};

const EXAMPLES: &str = "\
Examples:
  rewardpool man | man -l -
  rewardpool man config diff | man -l -
  rewardpool man --dir /usr/local/share/man/man1";

/// The exit codes, as every page tells them.
const EXIT_STATUS: [(&str, &str); 11] = [
    ("0", "Done."),
    ("1", "Refused by the service; of config diff: something differs."),
    ("64", "The command line is wrong."),
    ("65", "The data is corrupt."),
    ("69", "The service does not answer, or does not know what happened."),
    ("73", "The directory is used by another process."),
    ("74", "Input or output failed."),
    ("78", "The configuration is wrong or cannot be read."),
    ("130", "Ended early by Ctrl-C; what there was is printed."),
    ("141", "Nobody reads the output any more."),
    ("", "The others are those of sysexits."),
];

/// Print a page of the manual, or write all pages into a directory
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// The command, such as `config diff` [default: the program as a whole]
    #[arg(conflicts_with = "dir")]
    command: Vec<String>,
    /// Write a page for each command into this directory, which is made when it is not there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, format: Format) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build();
    if let Some(directory) = &args.dir {
        return write_all(&program, directory, format);
    }
    let page = page(find(&program, &args.command)?)?;
    let mut out = io::stdout().lock();
    out.write_all(&page)?;
    out.flush()?;
    Ok(())
}

fn find<'a>(program: &'a Command, path: &[String]) -> Result<&'a Command, Failure> {
    path.iter().try_fold(program, |command, name| {
        command.find_subcommand(name).ok_or_else(|| {
            let what = format!("there is no command {:?}", path.join(" "));
            Failure::usage(what, "`rewardpool --help` lists the commands")
        })
    })
}

fn write_all(program: &Command, directory: &Path, format: Format) -> Result<(), Failure> {
    let mut files = Vec::new();
    let hint = "name a directory that you may write to";
    fs::create_dir_all(directory).map_err(|error| Failure::file(directory, &error, hint))?;
    for command in every_command(program) {
        let file = directory.join(format!("{}.1", page_name(command)));
        fs::write(&file, page(command)?).map_err(|error| Failure::file(&file, &error, hint))?;
        files.push(file.display().to_string());
    }
    output::print(
        format,
        || format!("{} pages are written to {}\n", files.len(), directory.display()),
        || json!({ "files": files }),
    )
}

/// A command and all below it, without those that only tell about others.
fn every_command(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|command| is_told(command));
    std::iter::once(command).chain(below.flat_map(every_command)).collect()
}

fn is_told(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let name = page_name(command);
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    let written = (|| {
        // Without a date, so that the same version always has the same page.
        let version = env!("CARGO_PKG_VERSION");
        writeln!(page, ".TH {name} 1 \"\" \"rewardpool {version}\" \"rewardpool manual\"")?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        sections(command).to_writer(&mut page)
    })();
    written.map_err(|error: io::Error| {
        Failure::new(exit::INPUT_OUTPUT, format!("a page cannot be made: {error}"), "try again")
    })?;
    Ok(page)
}

/// What stands behind the options.
fn sections(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let below: Vec<&Command> =
        command.get_subcommands().filter(|command| is_told(command)).collect();
    if !below.is_empty() {
        roff.control("SH", ["COMMANDS"]);
        for command in &below {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            roff.control("TP", []);
            roff.text([bold(page_name(command)), roman("(1)")]);
            roff.text([roman(about)]);
        }
    }
    if let Some(text) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        examples(&mut roff, &text.to_string());
    }
    environment(&mut roff, command);
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        if code.is_empty() {
            roff.control("PP", []);
        } else {
            roff.control("TP", []);
            roff.text([bold(code)]);
        }
        roff.text([roman(meaning)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    see_also(&mut roff, command);
    roff
}

/// The variables that take the place of options.
fn environment(roff: &mut Roff, command: &Command) {
    roff.control("SH", ["ENVIRONMENT"]);
    for argument in command.get_arguments() {
        let (Some(variable), Some(help)) = (argument.get_env(), argument.get_help()) else {
            continue;
        };
        roff.control("TP", []);
        roff.text([bold(variable.to_string_lossy())]);
        let option = argument.get_long().map_or_else(String::new, |long| format!(" (--{long})"));
        roff.text([roman(format!("{help}{option}."))]);
    }
    roff.control("TP", []);
    roff.text([bold("NO_COLOR")]);
    roff.text([roman("When it is set, nothing is coloured, also on a terminal.")]);
}

/// The text behind the options of `--help`: the examples keep their lines, the rest is filled.
fn examples(roff: &mut Roff, text: &str) {
    let mut blocks = text.split("\n\n");
    if let Some(block) = blocks.next() {
        roff.control("SH", ["EXAMPLES"]);
        roff.control("nf", []);
        for line in block.lines().filter(|line| line.starts_with("  ")) {
            roff.text([roman(line.trim_start())]);
        }
        roff.control("fi", []);
    }
    let mut is_first = true;
    for block in blocks {
        // The program as a whole lists the exit codes, which every page has.
        if block.starts_with("Exit codes:") {
            continue;
        }
        if is_first {
            roff.control("SH", ["NOTES"]);
        } else {
            roff.control("PP", []);
        }
        is_first = false;
        paragraph(roff, block);
    }
}

fn paragraph(roff: &mut Roff, block: &str) {
    let mut is_kept = false;
    for line in block.lines() {
        let keeps = line.starts_with("  ");
        if keeps != is_kept {
            roff.control(if keeps { "nf" } else { "fi" }, []);
            is_kept = keeps;
        }
        roff.text([roman(line)]);
    }
    if is_kept {
        roff.control("fi", []);
    }
}

/// The page above, and those beside.
fn see_also(roff: &mut Roff, command: &Command) {
    let name = page_name(command);
    match name.rsplit_once('-') {
        // Of `rewardpool-config-diff`, the page of `rewardpool-config`.
        Some((above, _)) if command.get_display_name().is_some() => {
            let above = if is_page(above) { above } else { "rewardpool" };
            roff.text([bold(above), roman("(1)")]);
        }
        _ => {
            roff.text([italic("docs/cli.md"), roman(", "), italic("docs/operations.md")]);
        }
    }
}

/// Whether a command has this page: the names of some have a hyphen of their own.
fn is_page(name: &str) -> bool {
    let mut program = Cli::command();
    program.build();
    every_command(&program).iter().any(|command| page_name(command) == name)
}
