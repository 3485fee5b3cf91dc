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
fn token(home: &Path, name: &str, rights: &[&str]) {
    let made = Command::new(binary())
        .args(["token", "new", "--name", name])
        .args(rights)
        .arg("--file")
        .arg(home.join("tokens.yaml"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    write_secret(&home.join(name), &made.stdout);
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
    token(home, "admin", &["--role", "admin"]);
    token(home, "reader", &["--role", "reader"]);
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
        reader.command("d", "this needs the role `drawer`");
        reader.wait_text("it takes a token that may do this");
        // What is not told is not waited for.
        reader.wait_text("no log: this needs the role `admin`");
        reader.keys(&["3"]);
        reader.wait_text("not shown: this needs the role `admin`");
        reader.keys(&["2"]);
        reader.wait_text("* default");
        let mut nobody = Terminal::new(size);
        nobody.start(&attach);
        nobody.wait_text(
            "! the service wants a valid token; quit, and start again with --token-file",
        );
        nobody.command("p", "the service wants a valid token");
        nobody.keys(&["2"]);
        nobody.wait_text("not shown: the service wants a valid token");
        for terminal in [admin, reader, nobody] {
            terminal.keys(&["C-d"]);
            assert_eq!(terminal.wait_end(), 0);
        }
    }
}

/// A token that is taken away while somebody looks, and one for a single pool.
#[test]
fn rights_end_while_somebody_looks() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    token(home.path(), "vip", &["--role", "reader", "--pool", "vip"]);
    let place = home.path().display().to_string();
    let config = format!("{CONFIG}auth:\n  tokens_file: {place}/tokens.yaml\n");
    let service = Service::start_with(home.path(), &config);
    let mut terminal = Terminal::new((80, 24));
    let attach = format!("tui --attach {} --token-file {place}/vip", service.address());
    terminal.start(&format!("{attach} --pool vip"));
    terminal.wait_text("ticket");
    terminal.keys(&["2"]);
    terminal.wait_text("the token is bound to some pools");
    terminal.keys(&["1"]);
    terminal.command("pool default", "the token is bound to other pools");
    let revoked = Command::new(binary())
        .args(["token", "revoke", "vip", "--file"])
        .arg(home.path().join("tokens.yaml"))
        .output()
        .unwrap();
    assert!(revoked.status.success(), "{}", String::from_utf8_lossy(&revoked.stderr));
    terminal.wait_text("! the service wants a valid token");
    terminal.enter("q");
    assert_eq!(terminal.wait_end(), 0);
}

#[test]
fn who_cannot_connect_is_told_what_may_help() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let protected = protected(home.path());
    let other = tempfile::tempdir().unwrap();
    let open = Service::start(other.path());
    let (place, protected, open) = (home.path().display(), protected.address(), open.address());
    for (way, help) in [
        (format!("https://{protected}"), "--ca-file FILE names the authority"),
        (format!("http://{protected}"), "want https:// before its address"),
        (format!("https://{open} --ca-file {place}/service.crt"), "it has no TLS: write http://"),
    ] {
        let terminal = Terminal::new((80, 24));
        terminal.shell(&format!("{} tui --attach {way}; echo code=$?", binary().display()));
        terminal.wait_text("no service answers");
        terminal.wait_text(help);
        terminal.enter("q");
        assert_eq!(terminal.wait_end(), 0);
    }
}

#[test]
fn what_must_not_be_sent_is_told_before_the_screen() {
    if !terminal::is_here() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    token(home.path(), "admin", &["--role", "admin"]);
    let place = home.path().display();
    let terminal = Terminal::new((200, 60));
    let attach = format!("{} tui --attach http://192.0.2.1:5", binary().display());
    terminal.shell(&format!("{attach} --token-file {place}/admin; echo code=$?"));
    terminal.wait_text("code=64");
    terminal.wait_text("without encryption");
}
