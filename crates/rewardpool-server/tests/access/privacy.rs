//! What the real program tells, and leaves behind.
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rewardpool_client::{Access, Token};
use rewardpool_proto::v1::DrawRequest;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_server::auth::digest;
use tempfile::TempDir;

use super::fixture::{Authority, Plan, access, connect, draw, person};

/// The program, which ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
    for name in ["REWARDPOOL_ADDR", "REWARDPOOL_TOKEN", "REWARDPOOL_TOKEN_FILE"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn nothing_secret_is_told_and_nobody_else_may_read_the_files() {
    let directory = TempDir::new().unwrap();
    let authority = Authority::new();
    let certificate = authority.sign(&["127.0.0.1"]);
    let shop = person("shop", "drawer", "");
    let plan = Plan { people: &[&shop], certificate: Some(&certificate), ..Plan::default() };
    let config = plan.write(directory.path()) + "log: { level: trace, format: json }\n";
    let file = directory.path().join("rewardpool.yaml");
    fs::write(&file, config).unwrap();
    let mut serve = program(&["serve", "--config", text(&file)]);
    let mut service = Program(serve.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(service.0.stderr.take().unwrap());
    let mut told = String::new();
    let address = loop {
        assert!(lines.read_line(&mut told).unwrap() > 0, "{told}");
        let last = told.lines().last().unwrap();
        if last.contains("\"listening\"") {
            let line: serde_json::Value = serde_json::from_str(last).unwrap();
            break line["address"].as_str().unwrap().to_owned();
        }
    };
    let limits = fs::read_to_string(format!("/proc/{}/limits", service.0.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");

    let (url, known) = (format!("https://{address}"), access(&shop, Some(&authority)));
    let mut draws = RewardPoolClient::new(connect(&url, &known).await.unwrap());
    let idempotency_key = "customer-4711-order-42".to_owned();
    draws.draw(DrawRequest { idempotency_key: idempotency_key.clone(), ..draw(3) }).await.unwrap();
    let key = DrawRequest { idempotency_key: idempotency_key.clone(), ..draw(4) };
    draws.draw(key).await.unwrap_err();
    let stranger = Token::generate().unwrap();
    let unknown = Access { token: Some(stranger.clone()), ..access(&shop, Some(&authority)) };
    let channel = connect(&url, &unknown).await.unwrap();
    RewardPoolClient::new(channel).draw(draw(1)).await.unwrap_err();

    let kill = Command::new("kill").args(["-TERM", &service.0.id().to_string()]).status();
    assert!(kill.unwrap().success());
    lines.read_to_string(&mut told).unwrap();
    assert!(service.0.wait().unwrap().success(), "{told}");
    assert!(told.contains("stopped"), "{told}");
    let key = certificate.key.lines().nth(1).unwrap();
    let secrets = [
        shop.token.reveal(),
        &shop.token.reveal()[3..40],
        stranger.reveal(),
        &digest(&shop.token).to_string(),
        &idempotency_key,
        key,
    ];
    for secret in secrets {
        assert!(!told.contains(secret), "{secret} is told:\n{told}");
    }
    let data = directory.path().join("data");
    assert_eq!(mode(&data), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let bytes = fs::read(&path).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!has(&idempotency_key) && !has(shop.token.reveal()), "{}", path.display());
        files += 1;
    }
    assert!(files > 2);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_command_makes_tokens_that_the_service_knows_and_shows_them_once() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("tokens.yaml");
    let run = |arguments: &[&str]| {
        let output = program(arguments).args(["--file", text(&file)]).output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), out, err)
    };
    let new = ["token", "new", "--name", "shop", "--role", "drawer", "--pool", "mine"];
    let (code, out, err) = run(&[&new[..], &["--expires", "90d"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let token: Token = out.trim().parse().unwrap();
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains(&digest(&token).to_string()), "{written}");
    assert!(!written.contains(token.reveal()), "{written}");
    assert_eq!(mode(&file), 0o600);
    let (code, _, err) = run(&new);
    assert!(code == 64 && err.contains("has a token already"), "{err}");
    let (code, out, _) = run(&["token", "ls"]);
    assert!(code == 0 && out.contains("shop") && out.contains("drawer"), "{out}");
    assert!(!out.contains(token.reveal()));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, err) = run(&["token", "ls"]);
    assert!(code == 78 && err.contains("chmod 600"), "{err}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(run(&["token", "revoke", "shop"]).0, 0);
    assert_eq!(run(&["token", "revoke", "shop"]).0, 64);
    assert!(!run(&["token", "ls"]).1.contains("shop"));
}

#[test]
fn a_service_that_others_could_use_does_not_start() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let public = |more: &[&str]| {
        let mut serve = program(&["serve", "--listen", "0.0.0.0:0", "--working-dir", text(&data)]);
        serve.args(more).output().unwrap()
    };
    let output = public(&[]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{err}");
    assert!(err.contains("`grpc.tls`") && err.contains("insecure: true"), "{err}");
    let file = directory.path().join("rewardpool.yaml");
    let start = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = program(&["serve", "--config", file.to_str().unwrap()]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let head = format!("pools: []\nworking_dir: {}\n", data.display());
    let (code, err) = start(&format!("{head}auth: {{ tokens_file: /nowhere/tokens.yaml }}\n"));
    assert!(code == Some(78) && err.contains("/nowhere/tokens.yaml"), "{err}");
    let tls = "grpc: { tls: { certificate: /nowhere/a.crt, key: /nowhere/a.key } }\n";
    let (code, err) = start(&format!("{head}{tls}"));
    assert!(code == Some(78) && err.contains("/nowhere/a.crt"), "{err}");
    let signed = Authority::new().sign(&["127.0.0.1"]);
    let (certificate, key) = signed.write(directory.path(), "open");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (certificate, key) = (certificate.display(), key.display());
    let tls = format!("grpc: {{ tls: {{ certificate: {certificate}, key: {key} }} }}\n");
    let (code, err) = start(&format!("{head}{tls}"));
    assert!(code == Some(78) && err.contains("everybody may read this key"), "{err}");
    assert!(!data.exists(), "a service that may not start leaves nothing behind");
}
