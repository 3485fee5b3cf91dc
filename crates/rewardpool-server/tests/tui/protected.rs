//! Goal: who attaches to a service with TLS and tokens does what the token allows, and is told what to
//! do about the rest. Method: a service with a certificate of its own, and a terminal as an
//! administrator, as a reader, as nobody, and with what must not be sent.
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::service::{CONFIG, Service};
use super::terminal::{self, SIZES, Terminal, binary};

/// Makes a token, and a file with it.
fn token(home: &Path, role: &str) {
    let made = Command::new(binary())
        .args(["token", "new", "--name", role, "--role", role, "--file"])
        .arg(home.join("tokens.yaml"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    write_secret(&home.join(role), &made.stdout);
}

fn write_secret(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// A service that wants to know who asks.
fn protected(home: &Path) -> Service {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(home.join("service.crt"), made.cert.pem()).unwrap();
    write_secret(&home.join("service.key"), made.signing_key.serialize_pem().as_bytes());
    token(home, "admin");
    token(home, "reader");
    let place = home.display();
    let config = CONFIG.replace(
        "  listen_address: 127.0.0.1:0\n",
        &format!(
            "  listen_address: 127.0.0.1:0\n  tls:\n    certificate: {place}/service.crt\n    \
             key: {place}/service.key\nauth:\n  tokens_file: {place}/tokens.yaml\n"
        ),
    );
    Service::start_with(home, &config)
}

#[test]
fn a_token_is_shown_over_tls_and_allows_what_it_allows() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = protected(home.path());
    let place = home.path().display();
    let attach =
        format!("tui --attach https://{} --ca-file {place}/service.crt", service.address());
    for size in SIZES {
        let mut admin = Terminal::new(size);
        admin.start(&format!("{attach} --token-file {place}/admin"));
        admin.wait_text("diamond");
        admin.command("d 2", "(request ");
        admin.command("p", "paused");
        admin.command("resume", "active");
        admin.keys(&["3"]);
        admin.wait_text("wal.000");
        let mut reader = Terminal::new(size);
        reader.start(&format!("{attach} --token-file {place}/reader"));
        reader.wait_text("diamond");
        reader.command("d", "it takes a token that may do this");
        let mut nobody = Terminal::new(size);
        nobody.start(&attach);
        nobody.wait_text("--token-file");
        for terminal in [admin, reader, nobody] {
            terminal.keys(&["C-d"]);
            assert_eq!(terminal.wait_end(), 0);
        }
    }
}

#[test]
fn what_must_not_be_sent_is_told_before_the_screen() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    token(home.path(), "admin");
    let place = home.path().display();
    let terminal = Terminal::new((200, 60));
    let attach = format!("{} tui --attach http://192.0.2.1:5", binary().display());
    terminal.shell(&format!("{attach} --token-file {place}/admin; echo code=$?"));
    terminal.wait_text("code=64");
    terminal.wait_text("without encryption");
}
