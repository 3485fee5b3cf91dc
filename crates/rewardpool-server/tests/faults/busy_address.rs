//! Goal: an address that is in use is told, with 69, also when the disk fails while the service that
//! cannot listen stops.
//! Method: somebody else listens on the address; the real binary is started there again and again,
//! and each time another of its calls fails.
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::service::INPUT_OUTPUT;
use crate::shim::{Fault, Plan, Shim, calls};
use crate::system_calls::{Kind, Place, Start};

/// Exit code of a service that cannot listen.
const UNAVAILABLE: i32 = 69;

#[test]
fn an_address_in_use_is_told_although_the_stop_fails_too() {
    let Some(shim) = Shim::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut both = 0;
    for at in 1.. {
        let (code, said, is_met) = start(&shim, &address, Plan { fault: Fault::InputOutput, at });
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

/// Starts it with a fault. Gives its exit code, what it said, and whether a call met the fault.
fn start(shim: &Shim, address: &str, plan: Plan) -> (Option<i32>, String, bool) {
    let place = Place::new(Kind { storage: "file", format: "binary", start: Start::Fresh });
    let (log, watched) = (place.calls_log(), place.watched());
    let setup = shim.preload(place.setup, &watched, &log, Some(plan));
    let mut command = Command::new(&setup.binary);
    command.args(["serve", "--listen", address, "--config"]).arg(&setup.config);
    command.arg("--working-dir").arg(&setup.data).envs(setup.environment);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said, calls(&log, &watched).iter().any(|call| call.is_met))
}
