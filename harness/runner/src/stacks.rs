//! Stacks that a worker writes itself, as its own language knows them, when it is asked with a signal.
//!
//! Native stacks of an interpreter show the interpreter. Where a worker has said in its `hello` that it can do better, it is
//! sent the signal it named once its deadline has passed and its outcome stands. One that has said nothing is never
//! signalled: SIGUSR1 ends a process that has made no other arrangements.
//!
//! What is found is of any length and content, so little of it is read, and only from files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use placebench_core::breadcrumb::MOST_RANKS;
use placebench_core::evidence::LanguageStacks;
use tempfile::TempDir;

/// How long a worker may take to write them.
const PATIENCE: Duration = Duration::from_millis(500);
/// A file that has not grown for so long is complete.
const QUIET: Duration = Duration::from_millis(60);
/// How often is looked.
const TICK: Duration = Duration::from_millis(10);
/// What is kept of all of them together.
const MOST_BYTES: usize = 64 * 1024;
/// Where a file costs no disk write.
const SHARED_MEMORY: &str = "/dev/shm";

/// The file one worker writes to, in a folder of its own that goes with this value. Ranks write beside it.
#[derive(Debug)]
pub(crate) struct StacksFile {
    folder: TempDir,
    path: PathBuf,
}

/// What became of the question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// What was written, in the order of the ranks.
    pub(crate) stacks: Vec<LanguageStacks>,
    /// What is missing, and why.
    pub(crate) notes: Vec<String>,
}

impl StacksFile {
    /// Makes an empty file, in shared memory where there is some, else among the temporary files.
    pub(crate) fn create() -> io::Result<Self> {
        Self::create_in(Path::new(SHARED_MEMORY)).or_else(|_| Self::create_in(&std::env::temp_dir()))
    }

    fn create_in(folder: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("placebench-stacks-")
            .tempdir_in(folder)?;
        let path = folder.path().join("stacks");
        File::create(&path)?;
        Ok(Self { folder, path })
    }

    /// What the worker is told in its environment.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn of_rank(&self, rank: u32) -> PathBuf {
        self.folder.path().join(format!("stacks.{rank}"))
    }

    /// Waits until what was asked for has been written, or for a limited time, and reads it. `signal` is what the worker was
    /// just sent, `ranks` how many ranks it has.
    pub(crate) fn answer(&self, signal: &str, ranks: u32) -> Answer {
        let files = self.files(ranks);
        let began = Instant::now();
        let mut sizes = sizes(&files);
        let mut last_change = began;
        while began.elapsed() < PATIENCE {
            let is_whole = sizes.iter().all(|size| *size > 0);
            if is_whole && last_change.elapsed() >= QUIET {
                break;
            }
            thread::sleep(TICK);
            let now = self::sizes(&files);
            if now != sizes {
                last_change = Instant::now();
                sizes = now;
            }
        }
        self.read(signal, &files)
    }

    /// The files that are expected: one, or one for each rank.
    fn files(&self, ranks: u32) -> Vec<(Option<u32>, PathBuf)> {
        match ranks.min(MOST_RANKS) {
            0 => vec![(None, self.path.clone())],
            ranks => (0..ranks).map(|rank| (Some(rank), self.of_rank(rank))).collect(),
        }
    }

    fn read(&self, signal: &str, files: &[(Option<u32>, PathBuf)]) -> Answer {
        let mut answer = Answer::default();
        let share = MOST_BYTES / files.len().max(1);
        for (rank, path) in files {
            match beginning(path, share) {
                Ok(text) if text.is_empty() => answer.notes.push(format!(
                    "{} did not answer {signal} within {} ms",
                    rank.map_or_else(|| "the worker".to_owned(), |rank| format!("rank {rank}")),
                    PATIENCE.as_millis()
                )),
                Ok(text) => answer.stacks.push(LanguageStacks { rank: *rank, text }),
                Err(error) => answer
                    .notes
                    .push(format!("the stacks it wrote cannot be read: {error}")),
            }
        }
        answer
    }
}

fn sizes(files: &[(Option<u32>, PathBuf)]) -> Vec<u64> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    files.iter().map(|(_, path)| size(path)).collect()
}

/// The first bytes of a file; a line says how many are left out. What is not there is empty, what is no file an error: a
/// pipe that nobody writes to would hold up whoever reads it.
fn beginning(path: &Path, most: usize) -> io::Result<String> {
    let no_wait = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(no_wait.bits()).unwrap_or(0))
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    let left_out = about.len().saturating_sub(bytes.len() as u64);
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if left_out > 0 {
        text.push_str(&format!("\n[{left_out} bytes left out]\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(answer: &Answer) -> Vec<(Option<u32>, &str)> {
        let one = |stacks: &LanguageStacks| (stacks.rank, stacks.text.len());
        let lengths: Vec<_> = answer.stacks.iter().map(one).collect();
        assert_eq!(lengths.len(), answer.stacks.len());
        answer
            .stacks
            .iter()
            .map(|stacks| (stacks.rank, stacks.text.as_str()))
            .collect()
    }

    #[test]
    fn what_was_written_is_read_and_silence_is_said() {
        let file = StacksFile::create().unwrap();
        let silent = file.answer("SIGUSR1", 0);
        assert_eq!(silent.stacks, []);
        assert_eq!(silent.notes, ["the worker did not answer SIGUSR1 within 500 ms"]);
        fs::write(file.path(), "Thread 0x1 (most recent call first):\n").unwrap();
        let answer = file.answer("SIGUSR1", 0);
        assert_eq!(texts(&answer), [(None, "Thread 0x1 (most recent call first):\n")]);
        assert_eq!(answer.notes, [""; 0]);
    }

    #[test]
    fn ranks_answer_each_for_itself() {
        let file = StacksFile::create().unwrap();
        fs::write(file.of_rank(1), "one").unwrap();
        let answer = file.answer("SIGUSR1", 2);
        assert_eq!(texts(&answer), [(Some(1), "one")]);
        assert_eq!(answer.notes, ["rank 0 did not answer SIGUSR1 within 500 ms"]);
    }

    #[test]
    fn of_much_only_the_beginning_is_kept_whatever_its_bytes() {
        let file = StacksFile::create().unwrap();
        fs::write(file.path(), vec![0xff; MOST_BYTES + 10]).unwrap();
        let answer = file.answer("SIGUSR1", 0);
        assert!(answer.stacks[0].text.ends_with("\n[10 bytes left out]\n"));
        assert_eq!(answer.stacks[0].text.matches('\u{fffd}').count(), MOST_BYTES);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let file = StacksFile::create().unwrap();
        fs::remove_file(file.path()).unwrap();
        std::os::unix::fs::symlink("/dev/zero", file.path()).unwrap();
        let answer = file.answer("SIGUSR1", 0);
        assert_eq!(answer.stacks, []);
        assert!(
            answer.notes[0].starts_with("the stacks it wrote cannot be read"),
            "{answer:?}"
        );
    }

    #[test]
    fn the_folder_goes_with_it() {
        let file = StacksFile::create().unwrap();
        fs::write(file.of_rank(0), "x").unwrap();
        let folder = file.folder.path().to_owned();
        drop(file);
        assert!(!folder.exists());
    }
}
