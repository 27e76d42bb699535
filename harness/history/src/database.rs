//! Opening a history: what it must be, and how it is made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::{HistoryError, refused};
use crate::schema::{APPLICATION_ID, MIGRATIONS};

/// How a history is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file.
    pub path: PathBuf,
    /// How long another process that is writing it is waited for.
    pub wait: Duration,
}

/// A database of results.
#[derive(Debug)]
pub struct History {
    pub(crate) connection: Connection,
    pub(crate) options: Options,
}

impl History {
    /// Opens a history that is there.
    ///
    /// # Errors
    /// When there is none, it is damaged, of another program, or of a newer version of this one.
    pub fn open(options: Options) -> Result<Self, HistoryError> {
        if !options.path.exists() {
            return Err(HistoryError::Missing { path: options.path });
        }
        Self::open_or_create(options)
    }

    /// Opens a history, or makes an empty one. An older one is brought up to date.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when its folder cannot be made.
    pub fn open_or_create(options: Options) -> Result<Self, HistoryError> {
        if let Some(folder) = options.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|source| HistoryError::Io {
                doing: "cannot make",
                path: folder.to_owned(),
                source,
            })?;
        }
        let connection = connect(&options)?;
        let mut history = Self { connection, options };
        history.migrate(MIGRATIONS)?;
        Ok(history)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    pub(crate) fn refused(&self, doing: &'static str) -> Box<dyn Fn(rusqlite::Error) -> HistoryError> {
        Box::new(refused(&self.options.path, self.options.wait, doing))
    }

    fn migrate(&mut self, steps: &[&str]) -> Result<(), HistoryError> {
        let error = self.refused("to be opened");
        let path = self.options.path.clone();
        let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        // Looked at without a lock: a history that is up to date can be read while another process writes it.
        match state(&self.connection).map_err(&error)? {
            (APPLICATION_ID, version) if version == known => return Ok(()),
            (APPLICATION_ID, found) if found > known => {
                return Err(HistoryError::Newer {
                    writer: writer(&self.connection),
                    path,
                    found,
                    known,
                });
            }
            (0 | APPLICATION_ID, _) => {}
            _ => return Err(HistoryError::Foreign { path }),
        }
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&error)?;
        // Looked at again: another process may have been faster.
        let (application, version) = state(&transaction).map_err(&error)?;
        let is_empty = |tables: i64| tables == 0;
        let tables = transaction
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(&error)?;
        if application == 0 && (version != 0 || !is_empty(tables)) {
            return Err(HistoryError::Foreign { path });
        }
        for step in steps.iter().skip(version as usize) {
            transaction.execute_batch(step).map_err(&error)?;
        }
        transaction
            .pragma_update(None, "application_id", APPLICATION_ID)
            .and_then(|()| transaction.pragma_update(None, "user_version", known))
            .and_then(|()| {
                transaction.execute(
                    "INSERT OR REPLACE INTO meta (name, value) VALUES ('writer', ?1)",
                    [env!("CARGO_PKG_VERSION")],
                )
            })
            .map_err(&error)?;
        transaction.commit().map_err(&error)
    }
}

fn connect(options: &Options) -> Result<Connection, HistoryError> {
    let error = refused(&options.path, options.wait, "to be opened");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&options.path, flags).map_err(&error)?;
    let set_up = || -> rusqlite::Result<()> {
        connection.busy_timeout(options.wait)?;
        // Readers and one writer do not wait for each other. Where the file system cannot do that, SQLite stays with a journal.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        // After a power failure the last import may be missing, and is made again; the file is whole.
        connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")
    };
    set_up().map_err(&error)?;
    Ok(connection)
}

/// The application and the version of a database; zeros of an empty one.
fn state(connection: &Connection) -> rusqlite::Result<(i32, u32)> {
    let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get(0));
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok((
        number("PRAGMA application_id")?,
        u32::try_from(version).unwrap_or(u32::MAX),
    ))
}

fn writer(connection: &Connection) -> String {
    let asked = connection.query_row("SELECT value FROM meta WHERE name = 'writer'", [], |row| row.get(0));
    asked.unwrap_or_else(|_| "of an unknown version".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(folder: &Path) -> Options {
        Options {
            path: folder.join("history.sqlite"),
            wait: Duration::from_millis(50),
        }
    }

    #[test]
    fn steps_are_taken_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let connection = connect(&options(folder.path())).unwrap();
        let mut history = History {
            connection,
            options: options(folder.path()),
        };
        let meta = "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT)";
        let (one, two) = (
            "CREATE TABLE a (x); INSERT INTO a VALUES (1)",
            "ALTER TABLE a ADD COLUMN y DEFAULT 7",
        );
        history.migrate(&[meta, one]).unwrap();
        history.migrate(&[meta, one]).unwrap();
        history.migrate(&[meta, one, two]).unwrap();
        let row = history
            .connection
            .query_row("SELECT count(*), sum(y) FROM a", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
        assert_eq!(row.unwrap(), (1_i64, 7_i64));
        let error = history.migrate(&[meta]).unwrap_err().to_string();
        assert!(error.contains("format 3") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn a_step_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        drop(History::open_or_create(options(folder.path())).unwrap());
        let connection = connect(&options(folder.path())).unwrap();
        let mut history = History {
            connection,
            options: options(folder.path()),
        };
        let steps: Vec<&str> = MIGRATIONS
            .iter()
            .copied()
            .chain(["CREATE TABLE x (y); NONSENSE"])
            .collect();
        assert!(matches!(history.migrate(&steps), Err(HistoryError::Database { .. })));
        assert_eq!(state(&history.connection).unwrap().1 as usize, MIGRATIONS.len());
        drop(history);
        History::open(options(folder.path())).unwrap();
    }

    #[test]
    fn a_newer_a_strange_and_a_damaged_database_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        assert!(matches!(
            History::open(options.clone()),
            Err(HistoryError::Missing { .. })
        ));
        let history = History::open_or_create(options.clone()).unwrap();
        history.connection.pragma_update(None, "user_version", 99).unwrap();
        drop(history);
        let error = History::open(options.clone()).unwrap_err();
        assert!(matches!(error, HistoryError::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains(env!("CARGO_PKG_VERSION")), "{error}");
        std::fs::remove_file(&options.path).unwrap();
        let other = Connection::open(&options.path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(other);
        assert!(matches!(
            History::open(options.clone()),
            Err(HistoryError::Foreign { .. })
        ));
        std::fs::write(&options.path, "Dear diary, this is no database at all.").unwrap();
        assert!(matches!(History::open(options), Err(HistoryError::Damaged { .. })));
    }
}
