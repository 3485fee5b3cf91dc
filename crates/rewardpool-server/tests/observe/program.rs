//! Programs as processes of their own. One that goes out of scope is killed, by its id, also when a
//! test panics.
use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::Value;

/// The real binary. It is killed when it goes out of scope.
pub(crate) struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Program {
    pub(crate) fn start(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rewardpool"))
            .args(["serve", "--listen", ":0", "--working-dir"])
            .arg(directory)
            .args(arguments)
            .env_remove("RUST_LOG")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The lines up to the one that has this text.
    pub(crate) fn lines_to(&mut self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            seen.push(line.unwrap());
            if seen.last().unwrap().contains(text) {
                return seen;
            }
        }
        panic!("the service ended and said: {seen:#?}");
    }
}

/// The address in the line of the log with this message, which must have been written.
pub(crate) fn address_of(message: &str, lines: &[String]) -> SocketAddr {
    let json = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = json.into_iter().find(|line| line["message"] == message).unwrap();
    line["address"].as_str().unwrap().parse().unwrap()
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
