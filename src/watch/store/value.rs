//! What travels between the statements and the databases, and how either fails.

/// A parameter or a column. A null is an [`Value::Integer`] of nothing when it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A number of any width.
    Integer(Option<i64>),
    /// Text.
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

/// One row of an answer.
#[derive(Clone, Debug)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    /// A number that cannot be null.
    pub(super) fn integer(&self, column: usize) -> Result<i64, Fault> {
        self.optional(column)?.ok_or_else(|| odd(column))
    }

    /// A number.
    pub(super) fn optional(&self, column: usize) -> Result<Option<i64>, Fault> {
        match self.0.get(column) {
            Some(Value::Integer(value)) => Ok(*value),
            _ => Err(odd(column)),
        }
    }

    /// A number that is not negative and fits, like a count.
    pub(super) fn count<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Fault> {
        T::try_from(self.integer(column)?).map_err(|_| odd(column))
    }

    /// The same, or null.
    pub(super) fn optional_count<T: TryFrom<i64>>(&self, column: usize) -> Result<Option<T>, Fault> {
        self.optional(column)?.map(|value| T::try_from(value).map_err(|_| odd(column))).transpose()
    }

    /// Text that cannot be null.
    pub(super) fn text(&self, column: usize) -> Result<String, Fault> {
        self.optional_text(column)?.ok_or_else(|| odd(column))
    }

    /// Text.
    pub(super) fn optional_text(&self, column: usize) -> Result<Option<String>, Fault> {
        match self.0.get(column) {
            Some(Value::Text(value)) => Ok(value.clone()),
            Some(Value::Integer(None)) => Ok(None),
            _ => Err(odd(column)),
        }
    }

    /// Bytes that cannot be null.
    pub(super) fn bytes(&self, column: usize) -> Result<&[u8], Fault> {
        match self.0.get(column) {
            Some(Value::Bytes(Some(value))) => Ok(value),
            _ => Err(odd(column)),
        }
    }
}

/// Why a statement failed.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The database refused, or cannot be reached; the words hold no credentials.
    Unavailable(String),
    /// Another transaction was in the way; trying the whole transaction again helps.
    Conflict(String),
    /// What is stored is not what was written there: damaged, or not ours.
    Damaged(String),
}

/// A column that does not hold what only we can have written there.
pub(super) fn odd(column: usize) -> Fault {
    Fault::Damaged(format!("column {} of an answer is not what kubereach stores there", column + 1))
}

/// Words of a database as one bounded line without control characters.
pub(super) fn one_line(text: &str) -> String {
    let mut line: String =
        text.chars().take(LONGEST_WORDS).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    line.truncate(line.trim_end().len());
    line
}

const LONGEST_WORDS: usize = 300;
