//! The pictures of docs/pictures, made from the real screen: `make pictures`.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::service::Service;
use super::svg::{self, DARK, LIGHT, Palette};
use super::terminal::{self, Terminal, signal};

const CONFIG: &str = "\
working_dir: data
pools:
  - id: summer
    catalog:
      - { item_id: city bike, quantity: 1500, weight: 60 }
      - { item_id: weekend trip, quantity: 250, weight: 12 }
      - { item_id: voucher 50, quantity: 30000, weight: 1500 }
      - { item_id: voucher 10, quantity: 500000, weight: 14000 }
      - { item_id: sticker, quantity: 700000, weight: 35000 }
      - { item_id: thank you, quantity: -1, weight: 49428 }
  - id: staff
    catalog:
      - { item_id: coffee, quantity: 400, weight: 1 }
wal:
  max_file_size_kb: 1024
grpc:
  listen_address: 127.0.0.1:0
";

/// Draws of somebody else, at a steady pace, until it goes out of scope.
struct Load(Child);

impl Load {
    fn start(service: &Service, per_second: &str) -> Self {
        let child = Command::new(terminal::binary())
            .args(["bench", "grpc", "--yes", "--seconds", "600", "--count", "2"])
            .args(["--pool", "summer", "--rate", per_second, "--addr", service.address()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Where pictures go, and what they must not show.
struct Album {
    folder: PathBuf,
    data: String,
}

impl Album {
    fn save(&self, terminal: &Terminal, name: &str, palette: &Palette) {
        let screen = terminal.coloured().replace(&self.data, "/var/lib/rewardpool");
        fs::write(self.folder.join(name), svg::draw(&screen, palette)).unwrap();
    }
}

fn attach(service: &Service, size: (u16, u16)) -> Terminal {
    let mut terminal = Terminal::new(size);
    terminal.start(&format!("tui --attach {} --pool summer", service.address()));
    terminal.wait_text("city bike");
    terminal
}

#[test]
#[ignore = "draws docs/pictures anew"]
fn pictures() {
    assert!(terminal::is_here());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pictures");
    fs::create_dir_all(&folder).unwrap();
    let home = tempfile::tempdir().unwrap();
    let album = Album { folder, data: home.path().join("data").display().to_string() };
    let service = Service::start_with(home.path(), CONFIG);
    // The middle of the campaign; whoever attaches later knows nothing of how fast that went.
    let early = attach(&service, (80, 24));
    early.command("d 1500000", "1 500 000 draws in");
    early.keys(&["C-d"]);
    assert_eq!(early.wait_end(), 0);
    let load = Load::start(&service, "700");
    let wide = attach(&service, (110, 32));
    wide.command("d 3", "(request ");
    wide.command("u \"weekend trip\" +10", "weekend trip: quantity");
    wide.command("snapshot", "up to lsn");
    // Enough draws that forecasts have something to go by.
    wide.wait_text("up 20 s");
    album.save(&wide, "pool.svg", &DARK);
    album.save(&wide, "pool-light.svg", &LIGHT);
    let small = attach(&service, (80, 24));
    small.command("d 25000", "25 000 draws in");
    small.wait_text("min");
    album.save(&small, "small.svg", &DARK);
    small.keys(&["?"]);
    small.wait_text("Commands");
    album.save(&small, "help-small.svg", &DARK);
    small.keys(&["Escape"]);
    wide.keys(&["?"]);
    wide.wait_text("Commands");
    album.save(&wide, "help.svg", &DARK);
    wide.keys(&["Escape"]);
    drop(load);
    wide.keys(&["3"]);
    wide.wait_text("wal.00");
    wide.command("d 300000", "300 000 draws in");
    wide.enter("snapshot");
    wide.wait_for("its answer", |screen| screen.matches("up to lsn").count() == 3);
    wide.wait_text("ago)");
    album.save(&wide, "wal.svg", &DARK);
    wide.keys(&["1"]);
    // It is too fast to be looked at, so it is stopped again and again.
    signal("STOP", service.process());
    wide.command("d 3000000", "drawing");
    wide.wait_for("a third of it", |screen| {
        let drawn = screen.lines().find(|line| line.contains("drawing")).unwrap_or_default();
        if drawn.contains("███████████████") {
            return true;
        }
        signal("CONT", service.process());
        thread::sleep(Duration::from_millis(12));
        signal("STOP", service.process());
        thread::sleep(Duration::from_millis(80));
        false
    });
    album.save(&wide, "drawing.svg", &DARK);
    signal("CONT", service.process());
    wide.wait_for("its end", |screen| !screen.contains("drawing"));
}
