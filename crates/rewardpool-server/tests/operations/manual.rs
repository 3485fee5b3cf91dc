//! Goal: every command of docs/operations.md works, and prints what the page says. Method: the blocks
//! of commands are run one after another by one shell in an empty directory, against the real
//! program; what a block printed is compared with the block of text behind it, numbers and times
//! apart. Of the commands that need root, systemd or docker, the program's own are checked for their
//! options. With `REWRITE=1` what was printed is written into the page, for a review.
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::service::binary;
use crate::tools::are_here;

/// Longer than the page takes, also on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(50);
/// The ports that stand on the page.
const PORTS: [&str; 2] = ["50051", "9464"];

fn page_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md")
}

/// A fenced block.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Block {
    /// Line of the page on which its content begins, from 1.
    line: usize,
    /// What stands behind the fence.
    kind: String,
    text: String,
    /// Whether only empty lines are between it and the block before.
    follows: bool,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut open, mut follows) = (None, false);
    for (place, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                let (kind, text) = (kind.to_owned(), String::new());
                open = Some(Block { line: place + 2, kind, text, follows });
            }
            (Some(_), Some(_)) => {
                blocks.extend(open.take());
                follows = true;
            }
            (Some(block), None) => writeln!(block.text, "{line}").unwrap(),
            (None, None) => follows &= line.is_empty(),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Whatever differs from run to run is the same word.
fn normal(text: &str) -> String {
    let mut normal = String::new();
    let is_of_word = |c: char| c.is_ascii_alphanumeric();
    for line in text.lines() {
        let mut rest = line.trim_end();
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end.max(first.len_utf8()));
            let is_number = word.bytes().any(|byte| byte.is_ascii_digit());
            normal.push_str(if is_number { "N" } else { word });
            rest = after;
        }
        normal.push('\n');
    }
    // Columns and fractions are as wide as their numbers.
    while normal.contains("  ") || normal.contains("N.N") {
        normal = normal.replace("  ", " ").replace("N.N", "N");
    }
    normal
}

/// The shell that runs the page, with all that it started.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        // Its own process group: the services that it left behind.
        let group = format!("-{}", self.0.id());
        drop(
            Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status(),
        );
        drop(self.0.wait());
    }
}

/// Runs the blocks in their order. Gives what each printed.
fn run(blocks: &[&Block], place: &Path) -> Vec<String> {
    let mut script = String::from("set -euo pipefail\nexport LC_ALL=C TZ=UTC\numask 022\n");
    for (number, block) in blocks.iter().enumerate() {
        let Block { line, text, .. } = block;
        write!(script, "echo {line} >.block\n{{\n{text}}} >.out.{number} 2>&1\n").unwrap();
    }
    let listeners = PORTS.map(|port| (port, TcpListener::bind("127.0.0.1:0").unwrap()));
    let ports = listeners.map(|(port, listener)| {
        let free = listener.local_addr().unwrap().port().to_string();
        script = script.replace(port, &free);
        (port, free)
    });
    let address = format!("http://127.0.0.1:{}", ports[0].1);
    let directory = binary().parent().unwrap().to_owned();
    let path = std::env::join_paths(
        std::iter::once(directory)
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let home = place.join("home");
    fs::create_dir(&home).unwrap();
    let mut command = Command::new("bash");
    command
        .args(["-c", &script])
        .current_dir(&home)
        .env("PATH", path.unwrap())
        .env("REWARDPOOL_ADDR", address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(place.join("stderr")).unwrap())
        .process_group(0);
    let mut shell = Shell(command.spawn().unwrap());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = shell.0.try_wait().unwrap() {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let read = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default();
    if !status.is_some_and(|status| status.success()) {
        let line = read(".block");
        let last = (0..blocks.len()).map(|number| read(&format!(".out.{number}")));
        let said = last.rev().find(|text| !text.is_empty()).unwrap_or_default();
        let shell = fs::read_to_string(place.join("stderr")).unwrap();
        panic!("docs/operations.md:{line}: {status:?}\n{said}\n{shell}\n{}", read("service.log"));
    }
    // With the ports of the page.
    let as_on_page =
        |text: String| ports.iter().fold(text, |text, (port, free)| text.replace(free, port));
    (0..blocks.len()).map(|number| as_on_page(read(&format!(".out.{number}")))).collect()
}

#[test]
fn every_command_of_the_page_does_what_the_page_says() {
    if !are_here(&["bash", "curl"]) {
        return;
    }
    let page = fs::read_to_string(page_file()).unwrap();
    let blocks = blocks(&page);
    let commands: Vec<&Block> = blocks.iter().filter(|block| block.kind == "sh").collect();
    assert!(commands.len() > 12, "the page is not read");
    let place = tempfile::tempdir().unwrap();
    let printed = run(&commands, place.path());
    let (mut different, mut page) = (Vec::new(), page);
    let next = |block: &Block| {
        let place = blocks.iter().position(|other| other == block).unwrap();
        blocks.get(place + 1).filter(|next| next.kind == "text" && next.follows)
    };
    for (block, printed) in commands.iter().zip(&printed).rev() {
        let Some(expected) = next(block) else {
            assert_eq!(printed, "", "docs/operations.md:{}: it prints something", block.line);
            continue;
        };
        if normal(printed) != normal(&expected.text) {
            let line = expected.line;
            different
                .push(format!("docs/operations.md:{line}:\n{printed}\nnot\n{}", expected.text));
            let mut lines: Vec<&str> = page.lines().collect();
            let (from, count) = (line - 1, expected.text.lines().count());
            lines.splice(from..from + count, printed.lines());
            page = lines.join("\n") + "\n";
        }
    }
    if std::env::var_os("REWRITE").is_some() {
        fs::write(page_file(), page).unwrap();
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

/// The commands that cannot be run here name commands and options that there are.
#[test]
fn commands_for_root_and_docker_exist() {
    let page = fs::read_to_string(page_file()).unwrap();
    let mut checked = 0;
    for block in blocks(&page).iter().filter(|block| block.kind == "console") {
        for line in block.text.lines() {
            let line = line.strip_prefix(['#', '$']).expect(line).trim_start();
            let words: Vec<&str> = line.split([' ', '>']).collect();
            let program =
                words.iter().position(|word| word.trim_start_matches('/') == "rewardpool");
            let Some(program) = program.filter(|_| !line.starts_with("docker build")) else {
                continue;
            };
            let others = ["docker run", "useradd", "systemctl", "journalctl"];
            if others.iter().any(|other| line.starts_with(other)) {
                continue;
            }
            let Some(command) = words.get(program + 1) else { continue };
            let group = words.get(program + 2).filter(|_| *command == "config");
            let mut help = Command::new(binary());
            let help = help.arg(command).args(group).arg("--help").output().unwrap();
            assert!(help.status.success(), "{line}");
            let help = String::from_utf8(help.stdout).unwrap();
            for option in words[program + 1..].iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{line}: there is no {option}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked}");
    // Files that the page names are there.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for link in page.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0) {
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let text = match file {
            "" => page.clone(),
            file => fs::read_to_string(root.join("docs").join(file)).expect(link),
        };
        let is_there = text.lines().filter(|line| line.starts_with('#')).any(|heading| {
            let words = heading.trim_start_matches(['#', ' ']).to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
            kept.collect::<String>().replace(' ', "-") == anchor
        });
        assert!(anchor.is_empty() || is_there, "{link}");
    }
}

#[test]
fn each_alert_stands_on_the_page_and_no_other() {
    let page = fs::read_to_string(page_file()).unwrap();
    let rules = page_file().with_file_name("../contrib/prometheus/alerts.yaml");
    let rules = fs::read_to_string(rules).unwrap();
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `Rewardpool"));
    let told: BTreeSet<String> =
        rows.map(|row| format!("Rewardpool{}", row.split_once('`').unwrap().0)).collect();
    assert!(alerts.len() > 10);
    assert!(told.iter().map(String::as_str).eq(alerts.iter().copied()), "{told:?}\n{alerts:?}");
}

#[test]
fn what_differs_between_runs_is_left_out_and_nothing_else() {
    let same = "lsn   12  2026-11-24T05:00:00.123Z  ab12cd  1.5 s\n";
    assert_eq!(normal(same), normal("lsn 7  2027-01-02T03:04:05Z  ff00  20.25 s  \n"));
    assert_ne!(normal("draws 7\n"), normal("awards 7\n"));
    assert_ne!(normal("one\n"), normal("one\ntwo\n"));
}
