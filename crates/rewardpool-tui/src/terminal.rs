//! The terminal itself: taken over at the start, and given back whatever happens.
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::{Position, Rect};

use crate::app::App;
use crate::look::Look;
use crate::view;

/// Bytes of a picture that are written at once, which is most of them: nothing is seen half done.
const PICTURE_BYTES: usize = 64 * 1024;

/// Whether this program holds the terminal. Outside of the state, because a panic has to know it.
static IS_HELD: AtomicBool = AtomicBool::new(false);

/// Why the terminal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// Input or output goes somewhere else.
    #[error("{0} is not a terminal")]
    NotATerminal(&'static str),
    /// It cannot place text.
    #[error("the terminal is of the kind {0:?}, which cannot place text")]
    Dumb(String),
    /// It could not be read, written or set up.
    #[error("the terminal cannot be used: {0}")]
    Io(#[from] io::Error),
}

/// Whether there is a terminal that can show the screen.
///
/// # Errors
/// When there is none.
pub fn check() -> Result<(), TerminalError> {
    if !io::stdin().is_terminal() {
        return Err(TerminalError::NotATerminal("the standard input"));
    }
    if !io::stdout().is_terminal() {
        return Err(TerminalError::NotATerminal("the standard output"));
    }
    let kind = std::env::var("TERM").unwrap_or_default();
    if kind.is_empty() || kind == "dumb" {
        return Err(TerminalError::Dumb(kind));
    }
    Ok(())
}

type Backend = CrosstermBackend<BufWriter<Stdout>>;

/// The terminal while this program holds it. Given back when dropped.
pub(crate) struct Screen {
    terminal: Terminal<Backend>,
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn take() -> io::Result<Self> {
        give_back_on_panic();
        hold()?;
        let output = BufWriter::with_capacity(PICTURE_BYTES, io::stdout());
        match Terminal::new(CrosstermBackend::new(output)) {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws the state. Only what differs from the last time is written.
    pub(crate) fn draw(&mut self, app: &App, look: Look) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(|frame| view::draw(frame, app, look))?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.terminal.backend_mut().flush()
    }

    /// Draws everything the next time, whatever stands there.
    pub(crate) fn repaint(&mut self) -> io::Result<()> {
        // `clear` would ask the terminal where the cursor is, and the thread that reads the keys
        // would take the answer.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Takes the terminal over again after it was given back.
    pub(crate) fn retake(&mut self) -> io::Result<()> {
        hold()?;
        self.repaint()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn hold() -> io::Result<()> {
    if IS_HELD.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let held = enable_raw_mode().and_then(|()| {
        execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, Hide)
    });
    if held.is_err() {
        give_back();
    }
    held
}

/// Gives the terminal back, if this program holds it. What cannot be undone any more stays.
pub(crate) fn give_back() {
    if !IS_HELD.swap(false, Ordering::AcqRel) {
        return;
    }
    // The terminal may be gone, and then there is nothing to give back.
    let _written = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        DisableMouseCapture,
        LeaveAlternateScreen,
        Show
    );
    let _set = disable_raw_mode();
}

/// A panic of any thread is read on the screen of the shell.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}
