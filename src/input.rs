//! Bad input: one clear message that names file, line, column, what was expected and how to mend it.

use std::{fmt, path::PathBuf};

/// Everything that is wrong with one input, in the order of the text.
#[derive(Clone, Debug, thiserror::Error)]
pub struct InputErrors(pub Vec<InputError>);

/// One thing that is wrong with the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The file, or null for the command line.
    pub file: Option<PathBuf>,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what was expected. No final full stop.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// The line of text, for a snippet; never one that may hold a secret.
    pub text: Option<String>,
}

impl InputError {
    /// An error about the command line or the environment.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, position: None, message: message.into(), help: None, text: None }
    }

    /// Names the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Names line and column, from 1.
    #[must_use]
    pub const fn at(mut self, line: usize, column: usize) -> Self {
        self.position = Some((line, column));
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<InputError> for InputErrors {
    fn from(error: InputError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for InputErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{error}")?;
        }
        Ok(())
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "error: ")?;
        match (&self.file, self.position) {
            (Some(file), Some((line, column))) => write!(formatter, "{}:{line}:{column}: ", file.display())?,
            (Some(file), None) => write!(formatter, "{}: ", file.display())?,
            (None, _) => {}
        }
        write!(formatter, "{}", self.message)?;
        if let (Some(text), Some((line, column))) = (&self.text, self.position) {
            let gutter = line.to_string().len();
            write!(formatter, "\n {:gutter$} |\n {line} | {text}\n {:gutter$} | {:>column$}", "", "", "^")?;
        }
        if let Some(help) = &self.help {
            write!(formatter, "\n  help: {help}")?;
        }
        Ok(())
    }
}
