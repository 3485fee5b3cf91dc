//! A terminal, as a person sits in front of one: the program writes to it and reads from it, and the
//! test sees what stands on it.
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long something may take to appear on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal. It is killed when the test ends, however that ends.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts a program on a terminal of this size. Its stdin, stdout and stderr are the terminal.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&controller, size).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let open = || {
            let terminal = File::options().read(true).write(true).open(&name).unwrap();
            Stdio::from(terminal)
        };
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
        // The terminal closes when the program has closed its ends, of which these are copies.
        drop(command);
        let keyboard = File::from(controller);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = sync_channel(1024);
        let read = move || {
            let mut bytes = [0; 4096];
            // A terminal that nobody has open any more gives an error.
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        };
        drop(std::thread::Builder::new().name("screen".to_owned()).spawn(read).unwrap());
        Self { child, keyboard, screen, seen: String::new() }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn child_id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a text appears behind what was seen before, and gives all up to its end.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(place) = self.seen.find(text) {
                let rest = self.seen.split_off(place + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(self.read(begun), "no {text:?} in {:?}", self.seen);
        }
    }

    /// Waits until the program ends. Gives its exit code and all that it wrote, with plain line ends.
    #[track_caller]
    pub(crate) fn finish(mut self) -> (i32, String) {
        let begun = Instant::now();
        while self.read(begun) {}
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end: {:?}", self.seen);
            std::thread::yield_now();
        }
        let code = self.child.wait().unwrap().code().expect("the program is not killed");
        (code, self.seen.replace("\r\n", "\n"))
    }

    /// Reads more; false when there is none.
    fn read(&mut self, begun: Instant) -> bool {
        match self.screen.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            Ok(bytes) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("nothing more comes after {:?}", self.seen),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
