//! The tables: made, brought up to date by exactly one process, and refused when they are not ours.

use super::{
    engine::{Session, Work},
    value::{Fault, Value},
};

/// The migrations in order; the version of a database is how many it has had. One that was released never changes.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001-history.sql")];

/// The version that this program reads and writes.
pub(super) fn current() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Why the tables cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Somebody else's tables are there.
    NotOurs,
    /// A newer program wrote it: its version.
    Newer(i64),
    /// There are no tables yet, and none may be made.
    Missing,
    /// An older program wrote it, and nothing may be changed: its version.
    Older(i64),
}

impl Unfit {
    /// What to tell the user. `place` names the database, without credentials.
    pub(super) fn message(&self, place: &str) -> String {
        let ours = current();
        match self {
            Self::NotOurs => format!(
                "{place} holds tables that are not kubereach's; name an empty or new one: nothing was changed there"
            ),
            Self::Newer(version) => format!(
                "{place} was written by a newer kubereach (its tables are of version {version}, this program knows {ours}); \
                 run that program, or name another database"
            ),
            Self::Missing => format!("{place} holds no history yet; `kubereach watch` makes it when it first runs"),
            Self::Older(version) => format!(
                "{place} was written by an older kubereach (its tables are of version {version}, this program needs {ours}); \
                 `kubereach watch` of this version brings it up to date when it next starts"
            ),
        }
    }
}

/// Looks, and where it may changes: what is wrong, or nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepare {
    /// Tables may be made and changed.
    pub(super) migrate: bool,
}

impl Work for Prepare {
    type Output = Result<(), Unfit>;

    async fn run(&self, session: &Session<'_>) -> Result<Self::Output, Fault> {
        let version = match version(session).await? {
            Ok(version) if version == current() => return Ok(Ok(())),
            Ok(version) if version > current() => return Ok(Err(Unfit::Newer(version))),
            Ok(0) if !self.migrate => return Ok(Err(Unfit::Missing)),
            Ok(version) if !self.migrate => return Ok(Err(Unfit::Older(version))),
            Ok(_) => {
                // Several processes may start at once: look again once the others have done. SQLite's transaction has the file for itself already.
                session.query(session.dialect("select 1", LOCK), &[], |_| Ok(())).await?;
                match version(session).await? {
                    Ok(version) if version == current() => return Ok(Ok(())),
                    Ok(version) if version > current() => return Ok(Err(Unfit::Newer(version))),
                    Ok(version) => version,
                    Err(unfit) => return Ok(Err(unfit)),
                }
            }
            Err(unfit) => return Ok(Err(unfit)),
        };
        if version == 0 {
            session
                .script("create table kubereach_schema (version bigint primary key, applied_at bigint not null)")
                .await?;
        }
        for (number, migration) in (1_i64..).zip(MIGRATIONS).filter(|(number, _)| *number > version) {
            session.script(&in_dialect(session, migration)).await?;
            let now = jiff::Timestamp::now().as_millisecond();
            session
                .execute(
                    "insert into kubereach_schema (version, applied_at) values ($1, $2)",
                    vec![Value::from(number), Value::from(now)],
                )
                .await?;
        }
        Ok(Ok(()))
    }
}

/// The version of the tables; 0 when there is none of anybody's.
async fn version(session: &Session<'_>) -> Result<Result<i64, Unfit>, Fault> {
    let names = session
        .query(
            session.dialect(
                "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\'",
                "select table_name::text from information_schema.tables where table_schema = current_schema()",
            ),
            &[],
            |row| row.text(0),
        )
        .await?;
    if names.is_empty() {
        return Ok(Ok(0));
    }
    if !names.iter().any(|name| name == "kubereach_schema") {
        return Ok(Err(Unfit::NotOurs));
    }
    let versions = session.query("select max(version) from kubereach_schema", &[], |row| row.optional(0)).await?;
    match versions.into_iter().flatten().next() {
        Some(version) if version > 0 => Ok(Ok(version)),
        _ => Ok(Err(Unfit::NotOurs)),
    }
}

fn in_dialect(session: &Session<'_>, migration: &str) -> String {
    migration
        .replace(
            "{identity}",
            session.dialect("integer primary key", "bigint generated by default as identity primary key"),
        )
        .replace("{bytes}", session.dialect("blob", "bytea"))
        .replace("{clustered}", session.dialect(" without rowid", ""))
}

/// Any number that nobody else takes; held until the transaction ends.
const LOCK: &str = "select 1 from (select pg_advisory_xact_lock(7596043817351201)) locked";
