//! `completions`: the script that lets a shell complete this program's commands, and what that script
//! asks the program on each press of the key.
use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;

use super::{Cli, Failure};

const EXAMPLES: &str = "\
Examples:
  rewardpool completions bash > /etc/bash_completion.d/rewardpool
  rewardpool completions zsh > /usr/share/zsh/site-functions/_rewardpool
  rewardpool completions fish > ~/.config/fish/completions/rewardpool.fish

For one user: in ~/.bashrc `source <(rewardpool completions bash)`, in ~/.zshrc the same with zsh,
in ~/.config/elvish/rc.elv `eval (rewardpool completions elvish | slurp)`, and in the profile of
PowerShell `rewardpool completions powershell | Out-String | Invoke-Expression`.";

/// By this variable the script tells the program that it is asked by a shell.
const VARIABLE: &str = "REWARDPOOL_COMPLETE";
const NAME: &str = "rewardpool";

/// Print the script with which a shell completes commands, options and names
///
/// The script asks this program, which must be found in PATH, so it fits whichever version is
/// installed. Names of pools and items come from the running service (--addr, or `REWARDPOOL_ADDR`), if
/// it answers at once.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell: `bash`, `zsh`, `fish`, `elvish` or `powershell`
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

impl Shell {
    const fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Elvish => "elvish",
            Self::Powershell => "powershell",
        }
    }
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let shell = shells.completer(args.shell.name()).expect("each of our shells is built in");
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(())
}

/// Answers the script of a shell, if that is who asks.
pub(crate) fn answer_shell() -> Option<ExitCode> {
    env::var_os(VARIABLE)?;
    let complete = CompleteEnv::with_factory(Cli::command).var(VARIABLE).bin(NAME).completer(NAME);
    let directory = env::current_dir().ok();
    match complete.try_complete(env::args_os(), directory.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        // A shell in the middle of a line has no use for a message.
        Err(_) => Some(ExitCode::FAILURE),
    }
}
