//! Goal: an address that is in use is told, with 69: before a directory is made where that can be known,
//! and also when the disk fails while the service that cannot listen stops.
//! Method: somebody else listens on the address, or the service itself is told to listen twice, which
//! the system finds out last. The real binary is started there again and again, and each time another
//! of its calls fails.
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::service::INPUT_OUTPUT;
use crate::shim::{Fault, Plan, Shim, calls};
use crate::system_calls::{self, Kind, Place};

/// Exit code of a service that cannot listen.
const UNAVAILABLE: i32 = 69;

#[test]
fn an_address_of_somebody_else_is_told_before_a_directory_is_made() {
    let Some(shim) = Shim::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let plan = Plan { fault: Fault::InputOutput, at: 1 };
    let Outcome { code, said, has_directory, .. } = start(&shim, &address, "", plan);
    assert_eq!((code, has_directory), (Some(UNAVAILABLE), false), "{said}");
    assert!(said.contains("error: cannot listen on"), "{said}");
}

#[test]
fn an_address_in_use_is_told_although_the_stop_fails_too() {
    let Some(shim) = Shim::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let port = address.port();
    let metrics =
        format!("metrics: {{ enabled: true, insecure: true, listen_address: '0.0.0.0:{port}' }}\n");
    let mut both = 0;
    for at in 1.. {
        let plan = Plan { fault: Fault::InputOutput, at };
        let Outcome { code, said, is_met, .. } = start(&shim, &address.to_string(), &metrics, plan);
        let is_told = said.contains("error: cannot listen on");
        let expected = if is_told { UNAVAILABLE } else { INPUT_OUTPUT };
        assert_eq!(code, Some(expected), "call {at}: {said}");
        assert!(is_met || is_told, "{said}");
        both += u32::from(is_told && said.contains("the engine failed while it stopped"));
        if !is_met {
            break;
        }
    }
    assert!(both > 0, "no stop failed");
}

/// What came of a start.
struct Outcome {
    code: Option<i32>,
    said: String,
    /// Whether a call met the fault.
    is_met: bool,
    has_directory: bool,
}

/// Starts it with more of a configuration and with a fault.
fn start(shim: &Shim, address: &str, more: &str, plan: Plan) -> Outcome {
    let place =
        Place::new(Kind { storage: "file", format: "binary", start: system_calls::Start::Fresh });
    let mut config = OpenOptions::new().append(true).open(&place.setup.config).unwrap();
    config.write_all(more.as_bytes()).unwrap();
    let (log, watched) = (place.calls_log(), place.watched());
    let setup = shim.preload(place.setup, &watched, &log, Some(plan));
    let mut command = Command::new(&setup.binary);
    command.args(["serve", "--listen", address, "--config"]).arg(&setup.config);
    command.arg("--working-dir").arg(&setup.data).envs(setup.environment);
    let output = command.stdin(Stdio::null()).output().unwrap();
    Outcome {
        code: output.status.code(),
        said: String::from_utf8(output.stderr).unwrap(),
        is_met: calls(&log, &watched).iter().any(|call| call.is_met),
        has_directory: watched.join("data").exists(),
    }
}
