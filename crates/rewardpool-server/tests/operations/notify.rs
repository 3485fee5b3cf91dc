//! Goal: systemd learns that the service serves when it does, and that it stops when it begins to.
//! Method: the test is systemd: it listens on the socket that the service is told of.
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Instant;

use crate::service::{PATIENCE, Service, command, run};

fn hear(socket: &UnixDatagram) -> String {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = [0; 256];
    let length = socket.recv(&mut text).unwrap();
    String::from_utf8(text[..length].to_vec()).unwrap()
}

#[test]
fn the_manager_is_told_when_it_serves_and_when_it_stops() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let name = format!("@rewardpool-test-{}", std::process::id());
    let by_name = SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap();
    let sockets = [
        (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
        (name, UnixDatagram::bind_addr(&by_name).unwrap()),
    ];
    for (address, socket) in sockets {
        let mut command = command(&home.path().join("data"));
        command.env("NOTIFY_SOCKET", &address);
        let service = Service::start(command);
        assert_eq!(hear(&socket), "READY=1", "{address}");
        let health = run(&format!("health --addr {}", service.address));
        assert!(health.status.success(), "it serves when it says so: {health:?}");
        service.terminate();
        assert_eq!(hear(&socket), "STOPPING=1", "{address}");
        assert!(service.wait().success());
    }
}

#[test]
fn a_service_that_does_not_come_to_serve_says_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let data = home.path().join("data");
    let first = Service::start(command(&data));
    let mut second = command(&data);
    let begun = Instant::now();
    let output = second.env("NOTIFY_SOCKET", &path).output().unwrap();
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    assert!(begun.elapsed() < PATIENCE);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err(), "it said that it serves");
    assert!(first.stop().success());
}

/// A manager that does not listen keeps nobody from being served.
#[test]
fn a_socket_that_is_not_there_is_no_reason_to_end() {
    let home = tempfile::tempdir().unwrap();
    let mut command = command(&home.path().join("data"));
    command.env("NOTIFY_SOCKET", home.path().join("nobody"));
    let service = Service::start(command);
    assert!(run(&format!("health --addr {}", service.address)).status.success());
    assert!(service.stop().success());
}
