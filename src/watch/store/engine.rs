//! One way to speak to either database: statements are written once, with `$1`, `$2` … in the order of their first use.

use super::{
    postgres::{self, Postgres},
    sqlite::{self, Sqlite},
    value::{Fault, Row, Value},
};

/// Which database it is.
#[derive(Clone, Debug)]
pub(super) enum Engine {
    /// One file.
    Sqlite(Sqlite),
    /// A server.
    Postgres(Postgres),
}

/// An open transaction, or a connection that only reads.
pub(super) enum Session<'a> {
    /// On the thread that owns the connection.
    Sqlite(&'a sqlite::Session),
    /// On a connection of the pool.
    Postgres(&'a postgres::Session<'a>),
}

/// Makes of a row what it stands for.
pub(super) type Read<T> = fn(&Row) -> Result<T, Fault>;

/// What is done in one transaction. It may be run again when another transaction was in the way.
pub(super) trait Work: Send + Sync + 'static {
    /// What it comes to.
    type Output: Send + 'static;

    /// Does it. A fault takes back all of it.
    fn run(&self, session: &Session<'_>) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

impl Engine {
    /// Does `work` in one transaction that writes.
    pub(super) async fn write<W: Work>(&self, work: W) -> Result<W::Output, Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(work).await,
            Self::Postgres(postgres) => postgres.write(&work).await,
        }
    }

    /// Does `work`, which only reads.
    pub(super) async fn look<W: Work>(&self, work: W) -> Result<W::Output, Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.look(work).await,
            Self::Postgres(postgres) => postgres.look(&work).await,
        }
    }

    /// Asks one question.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        sql: &'static str,
        parameters: Vec<Value>,
        read: Read<T>,
    ) -> Result<Vec<T>, Fault> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query(sql, parameters, read).await,
            Self::Postgres(postgres) => postgres.query(sql, &parameters, read).await,
        }
    }
}

impl Session<'_> {
    /// Executes a statement once for each row of parameters; how many rows of a table each touched.
    pub(super) async fn execute_many(&self, sql: &'static str, rows: &[Vec<Value>]) -> Result<Vec<u64>, Fault> {
        match self {
            Self::Sqlite(session) => session.execute_many(sql, rows),
            Self::Postgres(session) => session.execute_many(sql, rows).await,
        }
    }

    /// Executes a statement; how many rows it touched.
    pub(super) async fn execute(&self, sql: &'static str, parameters: Vec<Value>) -> Result<u64, Fault> {
        Ok(self.execute_many(sql, &[parameters]).await?.into_iter().sum())
    }

    /// Asks a question.
    pub(super) async fn query<T: Send>(
        &self,
        sql: &'static str,
        parameters: &[Value],
        read: Read<T>,
    ) -> Result<Vec<T>, Fault> {
        match self {
            Self::Sqlite(session) => session.query(sql, parameters, read),
            Self::Postgres(session) => session.query(sql, parameters, read).await,
        }
    }

    /// Executes several statements without parameters.
    pub(super) async fn script(&self, sql: &str) -> Result<(), Fault> {
        match self {
            Self::Sqlite(session) => session.script(sql),
            Self::Postgres(session) => session.script(sql).await,
        }
    }

    /// The statement of this database's own dialect.
    pub(super) const fn dialect(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite,
            Self::Postgres(_) => postgres,
        }
    }
}
