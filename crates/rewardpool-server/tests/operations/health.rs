//! Goal: whoever watches over a service by `rewardpool health` sees when it serves and when it does
//! not, by the exit code alone, and soon. Method: the real program asks the real service, in each
//! stage of its life, and others that are none.
use std::io::Read as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::service::{PATIENCE, Service, binary, command, run};

const UNAVAILABLE: i32 = 69;

#[test]
fn a_service_is_healthy_while_it_serves_and_not_before_or_after() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(command(home.path()));
    let address = service.address.clone();
    let healthy = run(&format!("health --addr {address}"));
    assert_eq!((healthy.status.code(), &*healthy.stdout), (Some(0), &b"SERVING\n"[..]));
    let json = run(&format!("health --addr {address} -o json"));
    assert_eq!(&*json.stdout, b"{\n  \"status\": \"SERVING\"\n}\n");
    assert!(service.stop().success());
    let gone = run(&format!("health --addr {address} --timeout 500ms"));
    let told = String::from_utf8(gone.stderr).unwrap();
    assert_eq!(gone.status.code(), Some(UNAVAILABLE), "{told}");
    assert!(told.contains(&address) && told.contains("hint: look whether it runs"), "{told}");
}

/// A connection that is open sees the change, and a new one is not accepted.
#[test]
fn a_service_that_stops_is_not_healthy() {
    let home = tempfile::tempdir().unwrap();
    let service = Service::start(command(home.path()));
    let address = service.address.clone();
    // A backup whose reader takes nothing keeps the service from ending at once.
    let mut draws = Command::new(binary());
    draws.args(["draw", "-n", "10000", "--addr", &address]).stdout(Stdio::null());
    for _ in 0..200 {
        assert!(draws.status().unwrap().success());
    }
    let mut reader = Command::new(binary());
    reader.args(["backup", "-", "--addr", &address]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut reader = Reader(reader.spawn().unwrap());
    reader.0.stdout.as_mut().unwrap().read_exact(&mut [0; 512]).unwrap();
    service.terminate();
    service.wait_for("stopping");
    let stopping = run(&format!("health --addr {address}"));
    let told = String::from_utf8(stopping.stderr).unwrap();
    assert_eq!(stopping.status.code(), Some(UNAVAILABLE), "{told}");
    drop(reader);
    assert!(service.wait().success());
}

struct Reader(std::process::Child);

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_port_that_says_nothing_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let begun = Instant::now();
    let output = run(&format!("health --addr {address} --timeout 300ms"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(UNAVAILABLE), "{told}");
    assert!(told.contains("not within 300ms"), "{told}");
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < PATIENCE);
}
