//! A start that cannot succeed: its exit code, and that it leaves nothing behind.
use std::net::TcpListener;

use crate::program::{Run, command, path_text};
use crate::service::{CONFIG, Service, exists};

#[test]
fn an_address_in_use_leaves_no_directory_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("new");
    let words = ["serve", "--listen", &address, "--working-dir", path_text(&directory)];
    let run = Run::new(command(words).output().unwrap()).expect(69);
    assert!(run.stderr.contains(&format!("error: cannot listen on {address}: ")), "{run:?}");
    assert!(run.stderr.contains("hint: choose another address with --listen"), "{run:?}");
    assert!(!exists(&directory), "a start that cannot listen makes nothing");
}

/// Both the address and the directory are in use. The directory says what is the matter.
#[test]
fn a_second_start_of_the_same_service_is_73() {
    let service = Service::start(CONFIG);
    let listen = service.address.trim_start_matches("http://");
    let directory = service.directory();
    let words = ["serve", "--listen", listen, "--working-dir", path_text(&directory)];
    let run = Run::new(command(words).output().unwrap()).expect(73);
    assert!(run.stderr.contains("hint: another service runs here"), "{run:?}");
}

/// The address is taken before the log is recovered, and it is only listened on afterwards.
#[test]
fn a_restart_takes_the_same_address_again() {
    let service = Service::start(CONFIG);
    let listen = service.address.trim_start_matches("http://").to_owned();
    service.run("draw -n 10").good();
    let stopped = service.stop();
    let config = format!("{CONFIG}grpc:\n  listen_address: {listen}\n");
    std::fs::write(stopped.home.path().join("rewardpool.yaml"), config).unwrap();
    let service = Service::start_in(stopped.home);
    assert_eq!(service.run("state -o json").good().json()["draws"], 10);
}
