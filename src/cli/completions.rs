//! `kubereach completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::arguments::Arguments;

/// The completion script for a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "kubereach", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_shell_knows_every_command() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in ["doctor", "verify", "explain", "demo", "schema", "completions", "man"] {
                assert!(script.contains(command), "{shell} {command}");
            }
        }
    }
}
