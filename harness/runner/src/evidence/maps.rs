//! The memory map of a process: which file an address belongs to.

/// A line of `/proc/PID/maps`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    /// First address.
    pub(super) start: u64,
    /// The address after the last.
    pub(super) end: u64,
    /// Where in the file it begins.
    pub(super) offset: u64,
    /// Number of the file in its file system; 0 for memory without a file.
    pub(super) inode: u64,
    /// The file, or a name in brackets.
    pub(super) path: String,
}

/// The map of a process, in order of address.
#[derive(Debug, Default)]
pub(super) struct Maps(Vec<Mapping>);

impl Maps {
    /// Reads a map; lines that make no sense are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut maps: Vec<Mapping> = text.lines().filter_map(parse_line).collect();
        maps.sort_by_key(|mapping| mapping.start);
        Self(maps)
    }

    /// The first mapping of the image (program or library) that an address is in, and the end of its last.
    ///
    /// A loader maps a file from its beginning, with the other parts behind it; the same file may be mapped again
    /// elsewhere.
    pub(super) fn image_at(&self, address: u64) -> Option<(&Mapping, u64)> {
        let after = self.0.partition_point(|mapping| mapping.start <= address);
        let (before, rest) = self.0.split_at_checked(after)?;
        let own = before.last().filter(|mapping| address < mapping.end)?;
        if own.path.is_empty() {
            return None;
        }
        let same = |mapping: &&Mapping| mapping.path == own.path && mapping.inode == own.inode;
        let first = before.iter().rev().filter(same).find(|mapping| mapping.offset == 0)?;
        let end = rest
            .iter()
            .filter(same)
            .take_while(|mapping| mapping.offset != 0)
            .last()
            .map_or(own.end, |mapping| mapping.end);
        Some((first, end))
    }
}

/// `start-end perms offset device inode   path`.
fn parse_line(line: &str) -> Option<Mapping> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let mut rest = rest.splitn(4, ' ');
    let (_permissions, offset, _device) = (rest.next()?, rest.next()?, rest.next()?);
    let rest = rest.next()?;
    let (inode, path) = rest.split_once(' ').unwrap_or((rest, ""));
    let path = path.trim_start();
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        offset: u64::from_str_radix(offset, 16).ok()?,
        inode: inode.parse().ok()?,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAP: &str = "\
55d0c0000000-55d0c0010000 r--p 00000000 fd:00 77                         /opt/my worker
55d0c0010000-55d0c0080000 r-xp 00010000 fd:00 77                         /opt/my worker
55d0c0081000-55d0c0090000 rw-p 00080000 fd:00 77                         /opt/my worker
55d0c1000000-55d0c1020000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000001000 r--p 00000000 fd:00 77                         /opt/my worker
7f0000100000-7f0000101000 r-xp 00000000 00:00 0 
7ffe00000000-7ffe00002000 r-xp 00000000 00:00 0                          [vdso]
";

    fn image(address: u64) -> Option<(u64, u64, String)> {
        let maps = Maps::parse(MAP);
        let (first, end) = maps.image_at(address)?;
        Some((first.start, end, first.path.clone()))
    }

    #[test]
    fn an_address_leads_to_its_image() {
        let program = Some((0x55d0_c000_0000, 0x55d0_c009_0000, "/opt/my worker".to_owned()));
        assert_eq!(image(0x55d0_c001_0000), program);
        assert_eq!(image(0x55d0_c007_ffff), program);
        assert_eq!(
            image(0x7ffe_0000_0800),
            Some((0x7ffe_0000_0000, 0x7ffe_0000_2000, "[vdso]".to_owned()))
        );
    }

    #[test]
    fn addresses_outside_of_images_lead_nowhere() {
        for address in [0, 0x55d0_c008_0800, 0x7f00_0010_0000, u64::MAX] {
            assert_eq!(image(address), None, "{address:#x}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "\\PC{0,200}", address: u64) {
            Maps::parse(&text).image_at(address);
        }
    }
}
