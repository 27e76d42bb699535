//! The reading side of the breadcrumb page, and the file behind it.

use std::io;
use std::path::Path;

use placebench_core::breadcrumb::{Breadcrumb, MOST_RANKS, PAGE_BYTES};
use tempfile::NamedTempFile;

/// Where a page costs no disk write: memory that has a name.
const SHARED_MEMORY: &str = "/dev/shm";

/// A page for one worker. It survives the worker, however that ends, and is removed when this is dropped.
#[derive(Debug)]
pub struct BreadcrumbPage {
    file: NamedTempFile,
}

impl BreadcrumbPage {
    /// Makes a page filled with zeros, in shared memory where there is some, else among the temporary files.
    ///
    /// # Errors
    /// When neither place can be written.
    pub fn create() -> io::Result<Self> {
        Self::create_in(Path::new(SHARED_MEMORY)).or_else(|_| Self::create_in(&std::env::temp_dir()))
    }

    fn create_in(folder: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new()
            .prefix("placebench-breadcrumb-")
            .tempfile_in(folder)?;
        file.as_file().set_len(PAGE_BYTES as u64)?;
        Ok(Self { file })
    }

    /// What the worker is told in its environment.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Where the worker is or was; `None` where it never said.
    #[must_use]
    pub fn read(&self) -> Option<Breadcrumb> {
        Breadcrumb::parse(&std::fs::read(self.file.path()).ok()?)
    }

    /// Where each of so many ranks is or was; empty where none of them ever said.
    #[must_use]
    pub fn read_ranks(&self, ranks: u32) -> Vec<Option<Breadcrumb>> {
        let page = std::fs::read(self.file.path()).unwrap_or_default();
        let crumbs: Vec<_> = (0..ranks.min(MOST_RANKS))
            .map(|rank| Breadcrumb::of_rank(&page, rank))
            .collect();
        if crumbs.iter().any(Option::is_some) {
            crumbs
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use placebench_core::breadcrumb::{MAGIC, word};
    use std::io::{Seek, SeekFrom, Write};

    #[test]
    fn a_page_is_read_through_its_file() {
        let page = BreadcrumbPage::create().unwrap();
        assert_eq!(page.read(), None);
        let mut writer = std::fs::OpenOptions::new().write(true).open(page.path()).unwrap();
        writer.write_all(&MAGIC.to_le_bytes()).unwrap();
        writer.seek(SeekFrom::Start(8 * word::TOKEN as u64)).unwrap();
        writer.write_all(&6_u64.to_le_bytes()).unwrap();
        assert_eq!(page.read().unwrap().token, Some(5));
    }

    #[test]
    fn ranks_are_read_once_one_of_them_has_said_something() {
        let page = BreadcrumbPage::create().unwrap();
        assert_eq!(page.read_ranks(2), []);
        let mut writer = std::fs::OpenOptions::new().write(true).open(page.path()).unwrap();
        writer.seek(SeekFrom::Start(64 * 2)).unwrap();
        writer.write_all(&MAGIC.to_le_bytes()).unwrap();
        let seen: Vec<bool> = page.read_ranks(2).iter().map(Option::is_some).collect();
        assert_eq!(seen, [false, true]);
        assert_eq!(page.read_ranks(1), [], "there is no rank 1 then");
    }

    #[test]
    fn the_file_goes_with_the_page() {
        let page = BreadcrumbPage::create().unwrap();
        let path = page.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), PAGE_BYTES as u64);
        drop(page);
        assert!(!path.exists());
    }

    #[test]
    fn without_shared_memory_the_next_folder_is_tried() {
        assert!(BreadcrumbPage::create_in(Path::new("/nonexistent")).is_err());
    }
}
