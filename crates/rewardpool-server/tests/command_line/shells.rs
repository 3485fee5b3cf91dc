//! Completion in real shells, and pages of the manual as real programs read them.
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{Run, command, path_text};
use crate::service::{CONFIG, Service};
use crate::terminal::Terminal;

/// Where the program is, in front of all else.
fn path() -> OsString {
    let program = Path::new(env!("CARGO_BIN_EXE_rewardpool")).parent().unwrap();
    let mut path = program.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    path
}

/// A program that a test needs beside the one under test. Without it the test fails where
/// tests/install-tools has run, and is skipped elsewhere.
#[expect(clippy::print_stderr, reason = "whoever runs the tests should know what they left out")]
fn tool(name: &str) -> Option<Command> {
    let is_there = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|directory| directory.join(name).is_file());
    if is_there {
        let mut command = Command::new(name);
        command.env("PATH", path()).stdin(Stdio::null());
        return Some(command);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is missing: run tests/install-tools");
    eprintln!("skipped: there is no {name} (tests/install-tools installs it)");
    None
}

/// An interactive bash, to which somebody types.
#[test]
fn bash_completes_commands_options_and_names() {
    let service = Service::start(CONFIG);
    let mut bash = tool("bash").expect("every system has it");
    let keys = service.write("inputrc", "set enable-bracketed-paste off\n");
    bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "$ ").env("INPUTRC", keys);
    bash.env("REWARDPOOL_ADDR", &service.address).env_remove("REWARDPOOL_POOL");
    let mut shell = Terminal::start(bash, 100, 24);
    // A key that is pressed while bash does not read the line is not completed.
    shell.wait_for("$ ");
    shell.press("source <(rewardpool completions bash); echo loa''ded\r");
    shell.wait_for("loaded\r\n$ ");
    for (typed, completed) in [
        ("con", "config"),
        ("config di", "config diff"),
        ("state --so", "state --sort"),
        ("state --sort qu", "state --sort quantity"),
        ("update dia", "update diamond"),
        ("pool pause de", "pool pause default"),
        ("draw --pool def", "draw --pool default"),
    ] {
        shell.press(&format!("rewardpool {typed}\t# ''end\r"));
        let line = shell.wait_for("# ''end");
        assert!(line.ends_with(&format!("rewardpool {completed} # ''end")), "{typed}: {line:?}");
        shell.wait_for("\r\n");
        // The command itself runs and answers something.
        shell.press("echo ne''xt\r");
        shell.wait_for("next\r\n$ ");
    }
}

/// The program answers a script at once when no service does.
#[test]
fn without_a_service_no_names_are_completed() {
    let complete = |words: &[&str]| {
        let mut command = command([&["--", "rewardpool"], words].concat());
        command.env("REWARDPOOL_COMPLETE", "bash").env("REWARDPOOL_ADDR", "127.0.0.1:9");
        command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", " ");
        Run::new(command.output().unwrap()).good().stdout
    };
    assert_eq!(complete(&["update", "dia"]), "");
    assert_eq!(complete(&["con"]), "config");
    assert_eq!(complete(&["completions", "p"]), "powershell");
}

#[test]
fn the_scripts_of_other_shells_are_right() {
    let home = tempfile::tempdir().unwrap();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = Run::new(command(["completions", shell]).output().unwrap()).good().stdout;
        let file = home.path().join(shell);
        fs::write(&file, script).unwrap();
        let Some(mut shell) = tool(shell) else { continue };
        Run::new(shell.args([check, path_text(&file)]).output().unwrap()).good();
    }
    for shell in ["elvish", "powershell"] {
        let script = Run::new(command(["completions", shell]).output().unwrap()).good().stdout;
        assert!(script.contains("REWARDPOOL_COMPLETE"), "{script}");
    }
}

/// The script of fish is loaded by fish, which is asked for completions.
#[test]
fn fish_completes_as_well() {
    let Some(mut fish) = tool("fish") else { return };
    let script = "rewardpool completions fish | source; complete -C 'rewardpool con'";
    fish.args(["--no-config", "-c", script]);
    let run = Run::new(fish.output().unwrap()).good();
    assert!(run.stdout.starts_with("config\t"), "{run:?}");
}

#[test]
fn every_page_of_the_manual_is_read_without_a_warning() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("man1");
    let words = ["man", "--dir", path_text(&directory), "-o", "json"];
    let written = Run::new(command(words).output().unwrap()).good().json();
    let files: Vec<&str> =
        written["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert!(files.len() > 30, "{files:?}");
    for page in ["rewardpool.1", "rewardpool-config-diff.1", "rewardpool-pool-add-item.1"] {
        assert!(files.iter().any(|file| file.ends_with(&format!("/{page}"))), "{page}");
    }
    assert!(!files.iter().any(|file| file.ends_with("-help.1")), "{files:?}");
    if let Some(mut groff) = tool("groff") {
        groff.args(["-man", "-Tutf8", "-ww", "-z"]).args(&files);
        Run::new(groff.output().unwrap()).good();
    }
    if let Some(mut mandoc) = tool("mandoc") {
        // Errors and warnings. A date is left out on purpose, so that pages are reproducible.
        mandoc.args(["-T", "lint", "-W", "warning"]).args(&files);
        let run = Run::new(mandoc.output().unwrap());
        let told: Vec<&str> =
            run.stdout.lines().filter(|line| !line.contains("missing date")).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

#[test]
fn a_page_has_what_the_help_has() {
    let page = Run::new(command(["man", "config", "diff"]).output().unwrap()).good().stdout;
    for part in
        ["SH EXAMPLES", "SH ENVIRONMENT", "REWARDPOOL_ADDR", "SH \"EXIT STATUS\"", "config diff"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let wrong = Run::new(command(["man", "config", "nothing"]).output().unwrap()).expect(64);
    assert!(wrong.stderr.contains("there is no command \"config nothing\""), "{wrong:?}");
}
